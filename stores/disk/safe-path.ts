import { basename, join, sep } from 'node:path'
import type { Blob } from '../../src/upload/blob.js'
import { isUploadId } from '../../src/upload/upload.js'

/** Where a blob lies, outermost directory first. */
export interface BlobPath {
  readonly epoch: string
  /** One of 256 directories, so that none grows so large that listing it is slow. */
  readonly fanOut: string
  readonly file: string
}

/**
 * The path of a blob, made of nothing but a checked number and a checked id (law 8): neither can hold a separator, a
 * dot or a NUL, so that no path leaves `directory`. Throws a RangeError otherwise.
 */
export function blobPath(directory: string, blob: Blob): BlobPath {
  if (!isUploadId(blob.id)) throw new RangeError('The id of a blob must be a lower-case UUID v4.')
  const epoch = epochPath(directory, blob.epoch)
  const fanOut = epoch + sep + blob.id.slice(0, 2)
  return { epoch, fanOut, file: fanOut + sep + blob.id }
}

export function epochPath(directory: string, epoch: number): string {
  if (!Number.isSafeInteger(epoch) || epoch < 1) {
    throw new RangeError(`The epoch of a blob must be a positive integer, not ${epoch}.`)
  }
  return join(directory, String(epoch))
}

/** The path of a file in `directory` itself. Throws a RangeError for a name that is a path, or none (law 8). */
export function namePath(directory: string, name: string): string {
  const plain =
    name !== '' && name !== '.' && name !== '..' && !name.includes('\0') && name === basename(name)
  if (!plain) throw new RangeError('The name of a published file must be a plain name.')
  return join(directory, name)
}
