import { readdir, stat } from 'node:fs/promises'
import type { Blob } from '../../src/upload/blob.js'
import type { BlobFiles } from './blob-files.js'
import { hasCode, storageError } from './storage-error.js'

/**
 * Whether a blob's file is gone from a directory that is there. That one is listed, as two looks at two names could see
 * two file systems, one before a disk is mounted and one after.
 */
export async function isLost(files: BlobFiles, blob: Blob): Promise<boolean> {
  const path = files.path(blob)
  try {
    if (await isThere(path.file)) return false
    return !(await readdir(path.fanOut)).includes(blob.id)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw storageError(error)
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}
