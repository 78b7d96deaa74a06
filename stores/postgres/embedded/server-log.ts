import { constants } from 'node:fs'
import { type FileHandle, open, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from './error.js'

const LIMIT = 1024 * 1024
const TAIL = 4096

/** Postgres' own log, in its data directory: bounded at each start, with one older file kept. */
export interface ServerLog {
  readonly path: string
  /** Where this start begins. */
  readonly start: number
}

export async function openServerLog(dataDirectory: string): Promise<{ log: ServerLog; handle: FileHandle }> {
  const path = logPath(dataDirectory)
  if ((await size(path)) > LIMIT) await rename(path, `${path}.1`)
  // Root opens it in a directory that another account may own: never through a link.
  const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0)
  const handle = await open(path, flags, 0o600)
  const { uid, gid } = await stat(dataDirectory)
  if (process.getuid?.() === 0) await handle.chown(uid, gid)
  return { log: { path, start: (await handle.stat()).size }, handle }
}

export function logPath(dataDirectory: string): string {
  return join(dataDirectory, 'server.log')
}

export async function lastLines(log: ServerLog): Promise<string> {
  const end = await size(log.path)
  const from = Math.max(log.start, end - TAIL)
  if (end <= from) return ''
  const handle = await open(log.path, 'r')
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(end - from), 0, end - from, from)
    return buffer.toString('utf8', 0, bytesRead).trim()
  } finally {
    await handle.close()
  }
}

async function size(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 0
    throw error
  }
}
