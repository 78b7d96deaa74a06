import type { BigIntStats } from 'node:fs'
import { chmod, link, lstat, readdir, rename, unlink } from 'node:fs/promises'
import { hasCode } from './storage-error.js'

/** The calls on names in a directory of published files. Tests pass calls that fail. */
export interface NameCalls {
  /** Does not follow symlinks. */
  lstat(path: string): Promise<BigIntStats>
  /** Fails with EEXIST where `to` is taken. */
  link(from: string, to: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  chmod(path: string, mode: number): Promise<void>
  readdir(path: string): Promise<readonly string[]>
}

export const nameCalls: NameCalls = {
  lstat: (path) => lstat(path, { bigint: true }),
  link,
  rename,
  unlink,
  chmod,
  readdir: (path) => readdir(path),
}

/**
 * Whether a link failed since this file can have none there: on another device (which a bind mount of the same one is,
 * too), on a file system without links, a directory, somebody else's, or one with as many as it may have.
 */
export function isUnlinkable(error: unknown): boolean {
  return hasCode(error, 'EXDEV', 'EPERM', 'EACCES', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EISDIR')
}
