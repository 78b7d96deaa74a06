import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

/** What a client or proxy may call its request: enough for every tracing format, nothing that could break a log line. */
const SANE = /^[A-Za-z0-9._:/+=-]{1,128}$/

/**
 * Gives a request its id: the client's own where it is sane, else a new one. It is answered as `X-Request-ID`, and
 * written back into the request's headers, so that whoever handles the request later sees the same.
 */
export function nameRequest(request: IncomingMessage, response: ServerResponse): string {
  const sent = request.headers['x-request-id']
  const id = typeof sent === 'string' && SANE.test(sent) ? sent : randomUUID()
  request.headers['x-request-id'] = id
  response.setHeader('X-Request-ID', id)
  return id
}
