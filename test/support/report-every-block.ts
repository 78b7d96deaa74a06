import { vi } from 'vitest'
import type { FileCalls } from '../../stores/disk/file-calls.js'

/** As it was before anybody moved it. */
const realNow = Date.now

/**
 * An assembler reports what is durable once a second: here a second goes by with every block it reads. The clock
 * moves for all of the process, so no further than that; `vi.restoreAllMocks` sets it right again.
 */
export function reportEveryBlock(fs: FileCalls): FileCalls {
  let ahead = 0
  vi.spyOn(Date, 'now').mockImplementation(() => realNow() + ahead)
  return {
    ...fs,
    read: (fd, buffer, position) => {
      ahead += 1_000
      return fs.read(fd, buffer, position)
    },
  }
}
