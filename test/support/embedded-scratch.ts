import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { readPidFile } from '../../stores/postgres/embedded/pid-file.js'
import { endPostmaster } from '../../stores/postgres/embedded/postmaster.js'

const NOT_NEEDED = { postgres: '', initdb: '', pg_ctl: '' }

/**
 * A private directory for one test. Any postmaster that the test leaves in it, or in a directory below, is
 * ended.
 */
export async function scratchDirectory(parent: string = tmpdir()): Promise<string> {
  const directory = await mkdtemp(join(parent, 'embedded-test-'))
  onTestFinished(async () => {
    for (const data of await dataDirectories(directory)) {
      const file = await readPidFile(data)
      if (file) await endPostmaster(file.pid, data, NOT_NEEDED)
    }
    await rm(directory, { recursive: true, force: true, maxRetries: 5 })
  })
  return directory
}

async function dataDirectories(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter(({ name }) => name === 'postmaster.pid').map(({ parentPath }) => parentPath)
}
