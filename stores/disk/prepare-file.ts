import { constants } from 'node:fs'
import type { Blob, Extent } from '../../src/upload/blob.js'
import { extentsLength } from '../../src/upload/extents-length.js'
import type { ReadyFile } from '../../src/upload/ports.js'
import type { UploadId } from '../../src/upload/upload.js'
import { copyExtents } from './assemble.js'
import type { BlobFiles } from './blob-files.js'
import type { PublishedDirectory } from './published-directory.js'
import { isPartName, type PrivateNames, partName } from './published-name.js'
import { blobError } from './storage-error.js'

export interface Preparing {
  readonly directory: PublishedDirectory
  readonly blobs: BlobFiles
  readonly names: PrivateNames
  readonly uploadId: UploadId
  readonly extents: readonly Extent[]
  readonly length: number
  readonly blockBytes: number
}

/** Finds the one blob that is the whole content, and else makes a private copy: both can be linked to their name. */
export async function prepareFile(preparing: Preparing): Promise<ReadyFile> {
  const { directory, blobs, names, uploadId, extents, length } = preparing
  if (extentsLength(extents, 0) !== length) throw new RangeError(`The extents are not of ${length} bytes.`)
  const copy = { uploadId, path: directory.path(names.copy), copy: true }
  if (await isCopied(preparing)) return copy
  const whole = wholeBlob(extents)
  if (whole !== null) {
    const path = blobs.path(whole).file
    const fits = (await fileSize(directory, path)) === length
    if (fits && (await canBeLinked(directory, path, names))) return { uploadId, path, copy: false }
  }
  await makeCopy(preparing)
  return copy
}

/** What an earlier attempt copied is whole: it has its name only since it was. The content changes no more. */
async function isCopied({ directory, names, length }: Preparing): Promise<boolean> {
  const left = await directory.look(names.copy)
  return left?.isFile() === true && left.size === BigInt(length)
}

function wholeBlob(extents: readonly Extent[]): Blob | null {
  const [only, ...rest] = extents
  return only !== undefined && rest.length === 0 && only.blobOffset === 0 ? only.blob : null
}

async function fileSize(directory: PublishedDirectory, path: string): Promise<number> {
  const file = await directory.lookAt(path)
  if (file === null) throw blobError(Object.assign(new Error('a blob is gone'), { code: 'ENOENT' }))
  return Number(file.size)
}

/** Tried, as no number tells: bind mounts of one device look alike, and a file may have all the links it can. */
async function canBeLinked(
  directory: PublishedDirectory,
  path: string,
  names: PrivateNames,
): Promise<boolean> {
  if (!(await directory.tryLink(path, names.copy))) return false
  await directory.drop(names.copy)
  return true
}

async function makeCopy(preparing: Preparing): Promise<void> {
  const { directory, names, uploadId } = preparing
  await dropParts(directory, uploadId)
  const part = partName(uploadId)
  try {
    await copyInto(preparing, directory.path(part))
    await directory.rename(part, names.copy)
  } catch (error) {
    // What made it fail is told; that the rest cannot be removed either is seen at the next attempt.
    await directory.drop(part).catch(() => undefined)
    throw error
  }
}

/** Removes copies that were never finished. */
export async function dropParts(directory: PublishedDirectory, uploadId: UploadId): Promise<void> {
  for (const name of await directory.list()) {
    if (isPartName(name, uploadId)) await directory.drop(name)
  }
}

async function copyInto({ blobs, extents, length, blockBytes }: Preparing, path: string): Promise<void> {
  const fd = await blobs.calls.open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL)
  try {
    await copyExtents(blobs, fd, extents, {
      copied: 0,
      total: length,
      blockBytes: Math.max(1, Math.min(blockBytes, length)),
      onCopied: async () => true,
    })
  } finally {
    await blobs.calls.close(fd)
  }
}
