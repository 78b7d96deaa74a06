import type { Readable } from 'node:stream'

export type ReplyHeaders = Readonly<Record<string, string | readonly string[]>>

/** An answer before any transport made it one. A body that is a stream was asked for its first bytes already. */
export interface Reply {
  readonly status: number
  readonly headers: ReplyHeaders
  readonly body: string | Readable | null
}

/** Headers of `first` and `second`; where both have one, in whatever case, that of `second` stays. */
export function mergeHeaders(first: ReplyHeaders, second: ReplyHeaders): ReplyHeaders {
  const merged: Record<string, string | readonly string[]> = {}
  for (const name in first) if (!hasHeader(second, name)) merged[name] = first[name] as string
  return Object.assign(merged, second)
}

export function hasHeader(headers: ReplyHeaders, name: string): boolean {
  if (Object.hasOwn(headers, name)) return true
  const wanted = name.toLowerCase()
  for (const each in headers) {
    if (each.length === wanted.length && each.toLowerCase() === wanted) return true
  }
  return false
}

/** Statuses whose answers have no body (RFC 9110 section 15); fetch refuses to make one with a body. */
export function isBodiless(status: number): boolean {
  return status === 204 || status === 205 || status === 304
}
