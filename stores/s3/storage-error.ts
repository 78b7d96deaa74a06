import { UploadError } from '../../src/upload/errors.js'

/** What providers call an object, or a multipart upload, that is not there; some name the one for the other. */
const ABSENT = new Set(['NoSuchKey', 'NotFound', 'NoSuchUpload'])

/** What they ask to be tried again later; a clock that is off is set right by the SDK, from the answer that complains of it. */
const PASSING = new Set([
  'RequestTimeTooSkewed',
  'SlowDown',
  'RequestTimeout',
  'Throttling',
  'TooManyRequests',
  'InternalError',
])

/** A quota of the bucket, of the account, of the disks behind it. */
const FULL = new Set([
  'QuotaExceeded',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
  'InsufficientStorage',
])

/** A server that has no such operation, or not with what was asked of it. */
const UNKNOWN = new Set(['NotImplemented', 'MethodNotAllowed', 'UnsupportedOperation', 'NotSupported'])

export function isAbsent(error: unknown): boolean {
  return ABSENT.has(nameOf(error))
}

/** As a provider would say it. */
export function absent(): Error {
  return Object.assign(new Error('the object is not there'), { name: 'NotFound' })
}

export function isUnknown(error: unknown): boolean {
  return UNKNOWN.has(nameOf(error))
}

/** Whether it may do in a while. */
export function isPassing(error: unknown): boolean {
  return PASSING.has(nameOf(error))
}

/** Whether the provider said that the request itself is wrong, so that it would say so again. Errors of the network are none. */
export function isRefusal(error: unknown): boolean {
  if (!(error instanceof Error) || PASSING.has(error.name)) return false
  return '$fault' in error && error.$fault === 'client'
}

/** As `storageError`, of a write: that a multipart upload is gone says nothing of bytes that are there. */
export function writeError(cause: unknown): UploadError {
  if (!isAbsent(cause)) return storageError(cause)
  return new UploadError('storage_failed', 'The storage gave up on the upload.', { cause })
}

/** What a failed call to the provider means to the domain. Keys and hosts stay in the cause: the sentence may reach a client. */
export function storageError(cause: unknown): UploadError {
  if (cause instanceof UploadError) return cause
  if (isAbsent(cause)) return new UploadError('blob_gone', 'The bytes are no longer there.', { cause })
  return FULL.has(nameOf(cause))
    ? new UploadError('storage_full', 'The storage has no room for more bytes.', { cause })
    : new UploadError('storage_failed', 'The storage failed to do its work.', { cause })
}

/** Rows promise bytes that the storage does not have. */
export function brokenPromise(): UploadError {
  return new UploadError('storage_failed', 'The storage holds fewer bytes than were recorded.')
}

/** The code of an answer of S3's is the name of the SDK's error. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : ''
}
