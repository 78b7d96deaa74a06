import type { Upload } from '@tus/utils'
import type { Blob } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import type { BlobUploads } from './blob-uploads.js'
import { isPlainFile } from './plain-file.js'
import { brokenPromise } from './store-error.js'

export interface BlobTarget {
  readonly blob: Blob
  readonly position: number
}

/** Sees to it that the next byte of the blob can go to `position`. Resolves with what is there. */
export async function prepare(
  uploads: BlobUploads,
  { blob, position }: BlobTarget,
  fresh: boolean,
): Promise<Upload> {
  if (fresh) await uploads.make(blob)
  let found = await uploads.get(blob)
  if (found.offset > 0 && position === 0) {
    // Nothing of it is recorded, or the position would not be 0: an aborted start, begun again.
    await uploads.remove(blob)
    await uploads.make(blob)
    found = await uploads.get(blob)
  }
  if (found.offset < position) throw fresh ? gap() : brokenPromise()
  if (!isPlainFile(found) && found.size !== undefined) throw sealed()
  return found
}

/** For writes: bytes beyond the position do not count, and where they cannot be written over, nothing can follow. */
export function refuseLeftover(found: Upload, position: number): void {
  if (found.offset <= position || isPlainFile(found)) return
  throw new UploadError(
    'storage_failed',
    'The storage holds bytes that were not recorded, and cannot write over them; start this upload anew.',
  )
}

function gap(): UploadError {
  return new UploadError('storage_failed', 'This storage only appends; the bytes would have left a gap.')
}

function sealed(): UploadError {
  return new UploadError(
    'storage_failed',
    'The bytes were read before the upload was complete, and this storage adds nothing to them since.',
  )
}
