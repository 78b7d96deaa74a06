import { UploadError } from '../../src/upload/errors.js'

const FULL = ['ENOSPC', 'EDQUOT', 'EFBIG']

/**
 * What a failure of a wrapped store means to the domain. Stock stores mostly drop the reason (FileStore answers any
 * trouble with FILE_WRITE_ERROR), so that a full disk is recognised only where the store lets it through.
 */
export function storeError(cause: unknown): UploadError {
  if (cause instanceof UploadError) return cause
  return causes(cause).some((error) => FULL.includes(String(property(error, 'code'))))
    ? new UploadError('storage_full', 'The storage has no room for more bytes.', { cause })
    : new UploadError('storage_failed', 'The storage failed to do its work.', { cause })
}

/**
 * Whether a @tus store says that it does not have an upload (any more). It speaks in statuses, `{ status_code }`, as
 * `ERRORS` of @tus/utils do; this is the one place that understands them.
 */
export function isAbsent(error: unknown): boolean {
  return property(error, 'status_code') === 404 || isGone(error)
}

/** Whether it says that it had the upload and no longer does. */
export function isGone(error: unknown): boolean {
  return property(error, 'status_code') === 410
}

/** What was read is not what rows promise (law 2). */
export function brokenPromise(): UploadError {
  return new UploadError('storage_failed', 'The storage holds fewer bytes than were recorded.')
}

function causes(error: unknown): readonly unknown[] {
  const found: unknown[] = []
  for (let each = error; each instanceof Error && !found.includes(each); each = each.cause) found.push(each)
  return found
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}
