import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from './error.js'

/** What a postmaster writes about itself into `postmaster.pid` (PostgreSQL: src/include/utils/pidfile.h). */
export interface PidFile {
  readonly pid: number
  readonly port: number
  /** Empty when it listens on TCP only, or has not come that far. */
  readonly socketDirectory: string
  readonly status: string
}

export async function readPidFile(dataDirectory: string): Promise<PidFile | undefined> {
  const text = await readText(join(dataDirectory, 'postmaster.pid'))
  const [pid, , , port, socketDirectory, , , status] = text.split('\n')
  // The file is created first and filled afterwards.
  if (pid === undefined || !/^-?\d+$/.test(pid)) return undefined
  return {
    pid: Math.abs(Number(pid)),
    port: Number(port ?? 0),
    socketDirectory: socketDirectory ?? '',
    status: (status ?? '').trim(),
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return ''
    throw error
  }
}
