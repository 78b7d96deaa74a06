export interface ByteSpan {
  /** First byte, counted from 0. */
  readonly start: number
  /** The byte after the last one. */
  readonly stop: number
}

/**
 * What a Range header asks of content with `length` bytes: `whole` also where the header has to be ignored.
 * RFC 9110 section 14.2: "A server MAY ignore the Range header field", which is done for other units, for bad syntax
 * and for several ranges (a multipart answer helps nobody who resumes a download). Ranges of an empty file are
 * ignored too: some clients always ask for `bytes=0-`, and 416 would make empty files impossible to fetch.
 */
export function parseRange(header: string | undefined, length: number): ByteSpan | 'whole' | 'unsatisfiable' {
  const match = /^bytes[ \t]*=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header ?? '')
  if (match === null || length === 0) return 'whole'
  const [, first = '', last = ''] = match
  if (first === '') return suffix(last, length)
  // Digits beyond 2^53 lose their last places, but stay beyond any length.
  const start = Number(first)
  const end = last === '' ? Number.POSITIVE_INFINITY : Number(last)
  if (end < start) return 'whole'
  if (start >= length) return 'unsatisfiable'
  return { start, stop: Math.min(end + 1, length) }
}

function suffix(digits: string, length: number): ByteSpan | 'whole' | 'unsatisfiable' {
  if (digits === '') return 'whole'
  const wanted = Number(digits)
  if (wanted === 0) return 'unsatisfiable'
  return { start: Math.max(0, length - wanted), stop: length }
}

/** The one place where an end is inclusive: `bytes first-last/length`. */
export function formatContentRange(span: ByteSpan, length: number): string {
  return `bytes ${span.start}-${span.stop - 1}/${length}`
}
