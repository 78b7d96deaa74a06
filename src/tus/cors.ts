import type { ServerOptions } from '@tus/server'
import { HEADERS } from '@tus/utils'
import type { ReplyHeaders } from '../http/reply.js'

/** What stock @tus/server lets browsers send, and what its list forgot (LANDSCAPE 4.2, 8). */
const SENT = listed([
  ...HEADERS,
  'Upload-Checksum',
  'Upload-Expires',
  'X-Request-ID',
  'If-Match',
  'If-None-Match',
  'If-Range',
  'Range',
])

/** What scripts may read of an answer. */
const READ = listed([
  ...HEADERS,
  'Upload-Expires',
  'Upload-Checksum',
  'Tus-Checksum-Algorithm',
  'X-Request-ID',
  'Retry-After',
  'Accept-Ranges',
  'Content-Disposition',
  'Content-Length',
  'Content-Range',
  'ETag',
])

/** For every answer, errors and downloads included: without them a script cannot even read the status. */
export function corsHeaders(options: ServerOptions, origin: string | undefined): ReplyHeaders {
  const allowed = allowedOrigin(options, origin)
  return {
    ...(allowed !== null && { 'Access-Control-Allow-Origin': allowed }),
    // Where the answer depends on the origin, caches must know, whether or not this origin was allowed.
    ...(options.allowedOrigins !== undefined && { Vary: 'Origin' }),
    'Access-Control-Expose-Headers': join(READ, options.exposedHeaders),
    ...(options.allowedCredentials === true && { 'Access-Control-Allow-Credentials': 'true' }),
  }
}

export function preflightHeaders(options: ServerOptions, methods: readonly string[]): ReplyHeaders {
  return {
    'Access-Control-Allow-Methods': methods.join(', '),
    'Access-Control-Allow-Headers': join(SENT, options.allowedHeaders),
    'Access-Control-Max-Age': '86400',
  }
}

/** An origin that is not allowed is told the first that is, as stock @tus/server does. */
function allowedOrigin(options: ServerOptions, origin: string | undefined): string | null {
  const { allowedOrigins } = options
  if (typeof allowedOrigins === 'function')
    return origin !== undefined && allowedOrigins(origin) ? origin : null
  if (!allowedOrigins) return '*'
  if (origin !== undefined && allowedOrigins.includes(origin)) return origin
  return allowedOrigins[0] ?? null
}

/** Without additions, which is the rule, the text is the same for every answer. */
interface Names {
  readonly names: readonly string[]
  readonly text: string
}

function listed(names: readonly string[]): Names {
  return { names, text: unite(names) }
}

function join({ names, text }: Names, more: readonly string[] = []): string {
  return more.length === 0 ? text : unite([...names, ...more])
}

function unite(names: readonly string[]): string {
  return [...new Map(names.map((name) => [name.toLowerCase(), name])).values()].join(', ')
}
