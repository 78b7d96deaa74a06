import { RequestError } from '../http/errors.js'

/** What a chunk says of itself: `bytes first-last/total`, both ends inclusive (RFC 9110 section 14.4). */
export interface ContentRange {
  readonly first: number
  readonly last: number
  readonly total: number
}

const FORM = /^bytes ([0-9]+)-([0-9]+)\/([0-9]+)$/

/**
 * Reads the header as frago does: this one form, case-sensitive. Numbers above 2^53 - 1 lose their last digits, which
 * changes nothing, as no upload is that long. Throws `invalid_header`.
 */
export function parseContentRange(header: string | undefined): ContentRange {
  if (header === undefined || header === '')
    throw new RequestError('invalid_header', 'Missing Content-Range header')
  const [, first, last, total] = FORM.exec(header) ?? []
  if (first === undefined) throw new RequestError('invalid_header', 'Invalid Content-Range header')
  return { first: Number(first), last: Number(last), total: Number(total) }
}

/** Throws `invalid_header` where the range is empty, turned round, or leaves the file. */
export function checkWithin({ first, last, total }: ContentRange): void {
  if (first <= last && last < total) return
  throw new RequestError(
    'invalid_header',
    `Invalid Content-Range header: ${first}-${last} is no range within a file of ${total} bytes`,
  )
}
