import type { IncomingMessage } from 'node:http'
import { hasBody } from '../http/has-body.js'
import type { Passage } from '../http/in-flight.js'
import { pathOf, queryOf } from '../http/target.js'

/** One request to the facade. */
export interface Exchange {
  readonly method: string
  readonly path: string
  /** With its question mark; empty where there is none. */
  readonly query: string
  /** The body is read from it, by one reader. */
  readonly request: IncomingMessage
  /** False where the headers say that no byte follows. */
  readonly mayHaveBody: boolean
  /** Aborts when the request is to end early; the reason is a coded error. */
  readonly signal: AbortSignal
}

export function exchangeOf(request: IncomingMessage, passage: Passage): Exchange {
  const target = request.url ?? '/'
  return {
    method: request.method ?? 'GET',
    path: pathOf(target),
    query: queryOf(target),
    request,
    mayHaveBody: hasBody(request),
    get signal() {
      return passage.signal
    },
  }
}
