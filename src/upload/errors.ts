/** Every way a request can fail for a reason the domain knows. `src/http/errors.ts` gives each its HTTP status. */
export type UploadErrorCode =
  | 'upload_not_found'
  | 'upload_expired'
  | 'upload_busy'
  | 'upload_not_finished'
  | 'upload_finished'
  | 'upload_is_final'
  | 'wrong_protocol'
  | 'offset_mismatch'
  | 'range_conflict'
  | 'length_conflict'
  | 'size_exceeded'
  | 'checksum_mismatch'
  | 'claim_lost'
  | 'request_incomplete'
  | 'part_not_found'
  | 'part_not_partial'
  | 'part_expired'
  | 'too_many_parts'
  | 'content_released'
  | 'blob_gone'
  | 'storage_full'
  | 'storage_failed'
  | 'registry_unavailable'
  | 'draining'

/**
 * A failure with a stable `code`, a sentence fit for the client (no paths, no SQL), and the original error as
 * `cause` where there was one.
 */
export class UploadError extends Error {
  readonly code: UploadErrorCode

  constructor(code: UploadErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'UploadError'
    this.code = code
  }
}

/** The offset a writer named is not the one recorded; `offset` is the right one. */
export class OffsetMismatch extends UploadError {
  readonly offset: number

  constructor(sent: number, offset: number) {
    super('offset_mismatch', `The upload continues at offset ${offset}, but the request says ${sent}.`)
    this.name = 'OffsetMismatch'
    this.offset = offset
  }
}

/** Unknown, or somebody else's: the two are never told apart. */
export function notFound(): UploadError {
  return new UploadError('upload_not_found', 'There is no upload at this address.')
}

export function expired(): UploadError {
  return new UploadError('upload_expired', 'This upload was not continued in time and has expired.')
}

/** What RETAIN_PUBLISHED says: the published file is the only copy by now. */
export function released(): UploadError {
  return new UploadError('content_released', 'The server no longer keeps the bytes of this upload.')
}

export function notFinished(): UploadError {
  const sentence = 'The upload still has gaps; it can be finished when all chunks are there.'
  return new UploadError('upload_not_finished', sentence)
}

export function draining(): UploadError {
  return new UploadError('draining', 'The server is about to stop; try again shortly.')
}

export function busy(): UploadError {
  return new UploadError('upload_busy', 'Another request is still writing to this upload; try again shortly.')
}

export function isUploadError(error: unknown): error is UploadError {
  return error instanceof UploadError
}

/** Whether reading or writing failed because the bytes are not there, or are elsewhere by now. */
export function isGone(error: unknown): boolean {
  return isUploadError(error) && error.code === 'blob_gone'
}
