import type { IncomingHttpHeaders } from 'node:http'

/** What tells one state of a resource from another. */
export interface Validators {
  /** Strong, with its quotes. */
  readonly etag: string
  readonly modified: Date | null
}

/**
 * RFC 9110 section 13.2.2, for GET: whether the request goes on, is answered 304, or fails with 412. An entity tag
 * outranks a date.
 */
export function evaluate(headers: IncomingHttpHeaders, now: Validators): 'go_on' | 'not_modified' | 'failed' {
  const match = headers['if-match']
  if (match !== undefined && !lists(match, now.etag)) return 'failed'
  if (match === undefined && changedAfter(headers['if-unmodified-since'], now.modified) === true)
    return 'failed'
  const noneMatch = headers['if-none-match']
  if (noneMatch !== undefined) return listsWeakly(noneMatch, now.etag) ? 'not_modified' : 'go_on'
  return changedAfter(headers['if-modified-since'], now.modified) === false ? 'not_modified' : 'go_on'
}

/** RFC 9110 section 13.1.5: a range is given only while the client's copy is of the same state; a weak tag never is. */
export function rangeApplies(ifRange: string | string[] | undefined, now: Validators): boolean {
  if (ifRange === undefined) return true
  if (typeof ifRange !== 'string') return false
  if (ifRange.startsWith('"') || ifRange.startsWith('W/')) return ifRange === now.etag
  const date = Date.parse(ifRange)
  return now.modified !== null && date === seconds(now.modified)
}

function lists(header: string, etag: string): boolean {
  return header.trim() === '*' || tags(header).includes(etag)
}

function listsWeakly(header: string, etag: string): boolean {
  return header.trim() === '*' || tags(header).some((tag) => tag.replace(/^W\//, '') === etag)
}

function tags(header: string): readonly string[] {
  return header.match(/(?:W\/)?"[^"]*"/g) ?? []
}

/** Null when the header is absent or no date: then it counts for nothing. */
function changedAfter(header: string | undefined, modified: Date | null): boolean | null {
  if (header === undefined || modified === null) return null
  const date = Date.parse(header)
  return Number.isNaN(date) ? null : seconds(modified) > date
}

/** HTTP dates have no fractions. */
function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000) * 1000
}
