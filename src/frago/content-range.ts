import { RequestError } from '../http/errors.js'

/**
 * What a chunk says of itself: `bytes first-last/total`, both ends inclusive (RFC 9110 section 14.4). The numbers may have
 * any number of digits, and be turned round.
 */
export interface ContentRange {
  readonly first: bigint
  readonly last: bigint
  readonly total: bigint
}

const FORM = /^bytes ([0-9]+)-([0-9]+)\/([0-9]+)$/

/** Numbers longer than this could be no length; reading them would take time, and frago's clients never send them. */
const MOST_DIGITS = 100

/** Reads the header as frago does: this one form, case-sensitive. Throws `invalid_header`. */
export function parseContentRange(header: string | undefined): ContentRange {
  if (header === undefined || header === '') {
    throw new RequestError('invalid_header', 'Missing Content-Range header')
  }
  const [, first = '', last = '', total = ''] = FORM.exec(header) ?? []
  if (first === '' || Math.max(first.length, last.length, total.length) > MOST_DIGITS) {
    throw new RequestError('invalid_header', 'Invalid Content-Range header')
  }
  return { first: BigInt(first), last: BigInt(last), total: BigInt(total) }
}

/** Bytes it announces; 0 or less where it is turned round. */
export function sizeOf({ first, last }: ContentRange): bigint {
  return last - first + 1n
}

/** Whether it is a range of the file it names: not empty, not turned round, not beyond the end. */
export function isWithin({ first, last, total }: ContentRange): boolean {
  return first <= last && last < total
}

export function outside({ first, last, total }: ContentRange): RequestError {
  return new RequestError(
    'invalid_header',
    `Invalid Content-Range header: ${first}-${last} is no range within a file of ${total} bytes`,
  )
}
