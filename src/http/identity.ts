import type { IncomingMessage } from 'node:http'

/** What of a request says who sent it. On Node it is the request itself, with whatever middleware put on it. */
export type IdentifiedRequest = Pick<IncomingMessage, 'method' | 'url' | 'headers'>

/**
 * Names the owner a request speaks for; null is the anonymous owner, whom all anonymous requests share. To refuse a
 * request, throw `{ status_code, body }`, as the hooks of @tus/server do.
 */
export type Identify = (request: IdentifiedRequest) => string | null | Promise<string | null>
