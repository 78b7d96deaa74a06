import { isUploadError, UploadError, type UploadErrorCode } from '../../src/upload/errors.js'
import type { Logger } from '../../src/upload/log.js'

/**
 * The one place in `stores/` that knows status codes, besides the locker: the handlers of @tus/server understand
 * nothing else of an error than `{ status_code, body }` (@tus/utils, `ERRORS`). The numbers are those of
 * `src/http/errors.ts`; a test keeps the two alike.
 */
export const STOCK_STATUS: Readonly<Record<UploadErrorCode, number>> = {
  length_conflict: 400,
  request_incomplete: 400,
  part_not_partial: 400,
  too_many_parts: 400,
  upload_is_final: 403,
  wrong_protocol: 403,
  upload_not_found: 404,
  part_not_found: 404,
  offset_mismatch: 409,
  range_conflict: 409,
  claim_lost: 409,
  upload_finished: 409,
  upload_not_finished: 409,
  upload_expired: 410,
  part_expired: 410,
  content_released: 410,
  size_exceeded: 413,
  upload_busy: 423,
  checksum_mismatch: 460,
  blob_gone: 500,
  storage_failed: 500,
  registry_unavailable: 503,
  draining: 503,
  storage_full: 507,
}

/** A failure of a `ParallelStore` as the handlers of @tus/server understand it; a real Error, unlike their own. */
export class ParallelStoreError extends Error {
  /** What failed, in the terms of the README's list of error codes. */
  readonly code: UploadErrorCode | 'internal_error'
  /** The HTTP status a stock handler answers with. */
  readonly status_code: number
  /** The text a stock handler answers with: a sentence without paths and SQL. */
  readonly body: string

  constructor(code: UploadErrorCode | 'internal_error', status: number, sentence: string, cause: unknown) {
    super(sentence, { cause })
    this.name = 'ParallelStoreError'
    this.code = code
    this.status_code = status
    this.body = `${sentence}\n`
  }
}

/** Runs a method of the store and lets its failures out in the convention of @tus/server. */
export async function inStockTerms<T>(log: Logger, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw stockError(error, log)
  }
}

/**
 * As `inStockTerms`, for what HEAD asks. While the database is away that is 423: at a 5xx, tus-js-client forgets the
 * upload and starts another one at byte 0.
 */
export async function inTermsOfHead<T>(log: Logger, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const away = isUploadError(error) && error.code === 'registry_unavailable'
    if (!away) throw stockError(error, log)
    throw new ParallelStoreError(error.code, STOCK_STATUS.upload_busy, error.message, error)
  }
}

function stockError(error: unknown, log: Logger): unknown {
  if (isUploadError(error)) {
    return new ParallelStoreError(error.code, STOCK_STATUS[error.code], error.message, error)
  }
  // Thrown by an inherited store, or by a hook: already in these terms.
  if (typeof error === 'object' && error !== null && 'status_code' in error) return error
  log.error({ err: error }, 'the store failed unexpectedly')
  // Stock handlers put the message of an unknown error into their answer, which may be SQL or a path.
  const sentence = 'Something went wrong on the server, not with this request; its log says what.'
  return new ParallelStoreError('internal_error', STOCK_STATUS.storage_failed, sentence, error)
}

/** For what arrives while the store closes. */
export function closing(): UploadError {
  return new UploadError('draining', 'The server is about to stop; try again shortly.')
}
