import { type FileCalls, fileCalls } from '../../../stores/disk/file-calls.js'
import type { Mortal } from './mortal.js'
import type { Power } from './power.js'

/** Steps of an upload's bytes are many and alike: these many of them are points of death, in each life. */
const WRITES = 3

/** Only power cuts tell synced bytes from others, and those are simulated: without syncing it goes faster. */
export const unsynced = {
  fdatasync: async () => undefined,
  fsync: async () => undefined,
}

/** File calls whose process may die before and after each, and in the middle of a write. */
export function mortalCalls(mortal: Mortal, power: Power): FileCalls {
  const paths = new Map<number, string>()
  let writes = 0
  return {
    open: async (path, flags) => {
      const fd = await mortal.step('open', () => fileCalls.open(path, flags), fileCalls.close)
      paths.set(fd, path)
      return fd
    },
    writev: async (fd, buffers, position) => {
      writes += 1
      const write = () => fileCalls.writev(fd, buffers, position)
      if (writes > WRITES) return mortal.look(write)
      return mortal.step(`writev ${writes}`, async () => {
        try {
          mortal.reach(`during writev ${writes}`)
        } catch (error) {
          const [first] = buffers
          if (first) await fileCalls.writev(fd, [first.subarray(0, first.length / 2)], position)
          throw error
        }
        return write()
      })
    },
    read: (fd, buffer, position) => mortal.look(() => fileCalls.read(fd, buffer, position)),
    fdatasync: (fd) => mortal.step('fdatasync', () => power.syncedFile(paths.get(fd) ?? '')),
    fsync: (fd) => mortal.step('fsync', () => power.syncedDirectory(paths.get(fd) ?? '')),
    // Whoever dies closes its files.
    close: fileCalls.close,
  }
}
