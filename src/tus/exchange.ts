import type { IncomingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { IdentifiedRequest } from '../http/identity.js'

/** One request, whatever transport it came with. Verbs read it and give a `Reply`. */
export interface Exchange {
  /** What is to be done: the request's method, or what X-HTTP-Method-Override puts in its place. */
  readonly method: string
  /** Path and query as received. */
  readonly target: string
  /** Names in lower case; repeated ones joined with a comma. */
  readonly headers: IncomingHttpHeaders
  /** Whether it came over TLS to this very server. */
  readonly secure: boolean
  /** Null when the request has none. */
  readonly body: RequestBody | null
  /** Aborts when the request is to end early; the reason is a coded error. */
  readonly signal: AbortSignal
  /** What `identify` is asked about: with Node the request itself. */
  readonly subject: IdentifiedRequest
  /** What hooks and listeners are given; made when first asked for, as most requests have none. */
  webRequest(): Request
}

export interface RequestBody {
  /**
   * The bytes, to be read by one reader. Nothing is read, and no `100 Continue` sent, before that reader begins; and
   * it must not destroy the stream, since the answer goes out over the same socket.
   */
  readonly source: Readable
  /** A trailer field, once the source has ended. */
  trailer(name: string): string | undefined
}
