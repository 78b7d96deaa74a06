import { rmdir, unlink } from 'node:fs/promises'
import type { Blob } from '../../src/upload/blob.js'
import type { BlobFiles } from './blob-files.js'
import { hasCode, storageError } from './storage-error.js'

/** Removes a blob's file, durably when syncing is on; that it is not there is no error. */
export async function remove(files: BlobFiles, blob: Blob): Promise<void> {
  const path = files.path(blob)
  try {
    await unlink(path.file)
    await files.directories.sync(path.fanOut)
  } catch (error) {
    // An absent directory holds no name that could come back.
    if (!hasCode(error, 'ENOENT')) throw storageError(error)
  }
  // In the epoch in which this process makes files it would only have to make the directory again, and sync it.
  if (files.directories.isKnown(path.epoch)) return
  if (await removeEmpty(path.fanOut)) await removeEmpty(path.epoch)
}

/** Removes a directory if it is empty. False when something is in it. */
export async function removeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true
    // POSIX allows either code; Windows says EPERM or EBUSY of a directory somebody has open.
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'EPERM', 'EBUSY')) return false
    throw storageError(error)
  }
}
