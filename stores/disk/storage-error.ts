import { UploadError } from '../../src/upload/errors.js'

const FULL = ['ENOSPC', 'EDQUOT', 'EFBIG']
const NO_ROOM = 'The storage has no room for more bytes.'

/** What a failed file call means to the domain. Paths stay in the cause: the sentence may reach a client. */
export function storageError(cause: unknown): UploadError {
  if (cause instanceof UploadError) return cause
  return hasCode(cause, ...FULL)
    ? new UploadError('storage_full', NO_ROOM, { cause })
    : new UploadError('storage_failed', 'The storage failed to do its work.', { cause })
}

/** The same for a client as a full disk; the cause tells whoever reads the log why `df` still shows room. */
export function noRoom(reserve: number): UploadError {
  const cause = new Error(`what is free is kept in reserve (${reserve} bytes)`)
  return new UploadError('storage_full', NO_ROOM, { cause })
}

/** As `storageError`, for calls on a file that must exist. */
export function blobError(cause: unknown): UploadError {
  return hasCode(cause, 'ENOENT')
    ? new UploadError('blob_gone', 'The bytes are no longer there.', { cause })
    : storageError(cause)
}

export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.some((code) => code === error.code)
}
