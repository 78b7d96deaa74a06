import type { Reply } from '../http/reply.js'
import type { Exchange } from './exchange.js'
import { json } from './json-reply.js'

/** What a browser asks before it lets a page of another origin send the request itself (Fetch standard, CORS). */
export function isPreflight({ method, request }: Exchange): boolean {
  return method === 'OPTIONS' && 'access-control-request-method' in request.headers
}

/** OPTIONS: what the address takes, for people, and what a browser asks before it lets a page of another origin in. */
export function options(): Reply {
  const about = {
    name: 'Parallel Chunked Upload',
    description: 'Resumable uploads in chunks; /openapi.json describes all of it.',
    renders: ['application/json'],
    parses: ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'],
  }
  return json(200, about, {
    'Access-Control-Allow-Methods': 'GET, POST, PUT, HEAD, OPTIONS',
    'Access-Control-Allow-Headers': 'Authorization, Content-Type, Content-Range',
    'Access-Control-Max-Age': '86400',
  })
}
