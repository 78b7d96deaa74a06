import { type ErrorCode, type Failure, failureOf, isPassing } from '../http/errors.js'
import type { Reply, ReplyHeaders } from '../http/reply.js'
import { thrownAnswer } from '../http/thrown-answer.js'
import { UNAUTHENTICATED } from '../http/unauthenticated.js'
import type { Exchange } from './exchange.js'
import { json } from './json-reply.js'
import type { Site } from './site.js'

/** What Django REST framework refuses itself, before frago's own code is asked, has another shape. */
const FRAMEWORK: readonly ErrorCode[] = [
  'unauthenticated',
  'forbidden',
  'upload_not_found',
  'malformed_body',
  'body_too_large',
  'unsupported_media_type',
]

/** Where clients know frago's own words. */
const WORDS: Readonly<Partial<Record<ErrorCode, string>>> = {
  upload_not_found: 'Not found.',
  upload_expired: 'Upload expired',
  upload_not_finished: 'Not all chunks uploaded',
  checksum_mismatch: 'Checksum mismatch',
}

/** Where the fleet knows another status than the one all protocols share (KEEP): 460 is of tus, and gaps are a 400. */
const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  checksum_mismatch: 400,
  upload_not_finished: 400,
}

/** The answer to whatever was thrown while a request was handled. Never throws. */
export function failureReply({ engine }: Site, exchange: Exchange, error: unknown): Reply {
  const failure = failureOf(error)
  const refused = failure.code === 'internal_error' ? thrownAnswer(error) : null
  const passing = failure.status < 500 || isPassing(failure.code) || refused !== null
  const { method, path } = exchange
  engine.log[passing ? 'debug' : 'error']({ err: error, method, path }, 'a request was refused')
  // Whoever named the owner had reasons of their own.
  if (refused !== null) return json(refused.status, { detail: refused.body.trim() }, refused.headers)
  return json(STATUS[failure.code] ?? failure.status, bodyOf(exchange, failure), headersOf(failure.code))
}

function bodyOf(exchange: Exchange, { code, sentence }: Failure): object {
  const { method } = exchange
  const words = code === 'unauthenticated' ? refusal(exchange, sentence) : (WORDS[code] ?? sentence)
  const read = method !== 'POST' && method !== 'PUT'
  if (read || FRAMEWORK.includes(code)) return { detail: words }
  return method === 'PUT' ? { status: false, error: words } : { status: false, message: words }
}

/** frago knows one scheme, and to it credentials of another, our `Bearer` included, were none. */
function refusal({ request }: Exchange, sentence: string): string {
  const knownScheme = /^\s*token(?:\s|$)/i.test(request.headers.authorization ?? '')
  return knownScheme ? sentence : UNAUTHENTICATED.missing
}

function headersOf(code: ErrorCode): ReplyHeaders {
  if (code === 'unauthenticated') return { 'WWW-Authenticate': 'Token' }
  return isPassing(code) ? { 'Retry-After': '1' } : {}
}
