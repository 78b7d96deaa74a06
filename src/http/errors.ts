import { isUploadError, type UploadErrorCode } from '../upload/errors.js'

/** Every way a request can fail before, or beside, the domain: what its headers say and what the server is set to. */
export type RequestErrorCode =
  | 'invalid_header'
  | 'invalid_length'
  | 'invalid_metadata'
  | 'invalid_concat'
  | 'invalid_checksum'
  | 'malformed_body'
  | 'invalid_request'
  | 'checksum_unsupported'
  | 'termination_refused'
  | 'unauthenticated'
  | 'forbidden'
  | 'content_not_ready'
  | 'method_not_allowed'
  | 'request_timeout'
  | 'unsupported_version'
  | 'precondition_failed'
  | 'body_too_large'
  | 'unsupported_media_type'
  | 'range_not_satisfiable'
  | 'misconfigured'
  | 'internal_error'
  | 'authentication_unavailable'

export type ErrorCode = UploadErrorCode | RequestErrorCode

/** The one place that gives a code its HTTP status, for every protocol. */
export const ERROR_STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_header: 400,
  invalid_length: 400,
  invalid_metadata: 400,
  invalid_concat: 400,
  invalid_checksum: 400,
  malformed_body: 400,
  invalid_request: 400,
  checksum_unsupported: 400,
  length_conflict: 400,
  request_incomplete: 400,
  part_not_partial: 400,
  too_many_parts: 400,
  // As stock @tus/server answers where disableTerminationForFinishedUploads is set.
  termination_refused: 400,
  unauthenticated: 401,
  forbidden: 403,
  upload_is_final: 403,
  wrong_protocol: 403,
  upload_not_found: 404,
  part_not_found: 404,
  content_not_ready: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  // 409 and 423 are the only 4xx tus-js-client tries again after (LANDSCAPE 5.1): a displaced writer must get those.
  offset_mismatch: 409,
  range_conflict: 409,
  claim_lost: 409,
  upload_finished: 409,
  upload_not_finished: 409,
  upload_expired: 410,
  part_expired: 410,
  content_released: 410,
  unsupported_version: 412,
  precondition_failed: 412,
  size_exceeded: 413,
  body_too_large: 413,
  unsupported_media_type: 415,
  range_not_satisfiable: 416,
  upload_busy: 423,
  // tus 1.0.0, checksum: "460 Checksum Mismatch".
  checksum_mismatch: 460,
  blob_gone: 500,
  storage_failed: 500,
  misconfigured: 500,
  internal_error: 500,
  registry_unavailable: 503,
  authentication_unavailable: 503,
  draining: 503,
  storage_full: 507,
}

/** Reason phrases Node does not know. */
const REASONS: Readonly<Record<number, string>> = { 460: 'Checksum Mismatch' }

export function reasonOf(status: number): string | undefined {
  return REASONS[status]
}

/** A failure HTTP knows about: a stable `code`, a sentence for the client, and the original error as `cause`. */
export class RequestError extends Error {
  readonly code: RequestErrorCode

  constructor(code: RequestErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'RequestError'
    this.code = code
  }
}

export interface Failure {
  readonly code: ErrorCode
  readonly status: number
  /** Fit for the client. */
  readonly sentence: string
}

/** What a client is told about an error of any kind. Of errors without a code of ours it learns nothing. */
export function failureOf(error: unknown): Failure {
  if (error instanceof RequestError && error.code === 'misconfigured') return internal('misconfigured')
  if (error instanceof RequestError || isUploadError(error)) {
    return { code: error.code, status: ERROR_STATUS[error.code], sentence: error.message }
  }
  return internal('internal_error')
}

function internal(code: 'internal_error' | 'misconfigured'): Failure {
  const sentence = 'Something went wrong on the server, not with this request; its log says what.'
  return { code, status: ERROR_STATUS[code], sentence }
}

/** Troubles that pass by themselves: the same request is worth sending again. */
const PASSING: readonly ErrorCode[] = [
  'upload_busy',
  'registry_unavailable',
  'authentication_unavailable',
  'draining',
]

export function isPassing(code: ErrorCode): boolean {
  return PASSING.includes(code)
}
