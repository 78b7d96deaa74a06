import { CHALLENGES } from '../http/credentials.js'
import { ERROR_STATUS, type ErrorCode, type Failure, failureOf, isPassing } from '../http/errors.js'
import type { Reply, ReplyHeaders } from '../http/reply.js'
import { OffsetMismatch } from '../upload/errors.js'
import type { Exchange } from './exchange.js'
import { NOT_CACHED } from './head.js'
import { hookRequest } from './hook-request.js'
import { METHODS } from './methods.js'
import type { Site } from './site.js'
import { TUS_VERSION } from './version.js'

/** What hooks throw to refuse a request, as @tus/server has it. */
interface Refusal {
  readonly status_code: number
  readonly body: string
}

/** The answer to whatever was thrown while a request was handled. Never throws. */
export async function failureReply(site: Site, exchange: Exchange, error: unknown): Promise<Reply> {
  const refusal = refusalOf(error)
  const failure = refusal === null ? failureFor(exchange, error) : null
  log(site, exchange, error, failure)
  const own = refusal ?? { status_code: failure?.status ?? 500, body: `${failure?.sentence}\n` }
  const { status_code, body } = await mapped(site, exchange, error, own)
  return {
    status: status_code,
    headers: {
      'Content-Type': 'text/plain; charset=utf-8',
      'X-Content-Type-Options': 'nosniff',
      ...(exchange.method === 'HEAD' && NOT_CACHED),
      ...(failure !== null && headersOf(failure.code, error)),
    },
    body,
  }
}

/**
 * tus-js-client answers a HEAD with a 5xx by uploading from byte 0 again (LANDSCAPE 5.1); 423 makes it come back. So
 * what passes by itself is 423 there, and 503 elsewhere.
 */
function failureFor(exchange: Exchange, error: unknown): Failure {
  const failure = failureOf(error)
  if (exchange.method !== 'HEAD' || !isPassing(failure.code)) return failure
  return { ...failure, status: ERROR_STATUS.upload_busy }
}

function headersOf(code: ErrorCode, error: unknown): ReplyHeaders {
  if (isPassing(code)) return { 'Retry-After': '1' }
  if (code === 'unauthenticated') return { 'WWW-Authenticate': CHALLENGES }
  if (code === 'unsupported_version') return { 'Tus-Version': TUS_VERSION }
  if (code === 'method_not_allowed') return { Allow: METHODS.join(', ') }
  if (error instanceof OffsetMismatch) return { 'Upload-Offset': String(error.offset) }
  return {}
}

function refusalOf(error: unknown): Refusal | null {
  if (typeof error !== 'object' || error === null || !('status_code' in error)) return null
  const { status_code } = error
  if (typeof status_code !== 'number' || !isStatus(status_code)) return null
  const body = 'body' in error && typeof error.body === 'string' ? error.body : 'The request was refused.\n'
  return { status_code, body }
}

/** What HTTP can end with; 1xx are not answers. */
function isStatus(status: number): boolean {
  return Number.isInteger(status) && status >= 200 && status <= 599
}

/** Lets `onResponseError` replace the answer. It sees the error with the answer it would have, as stock errors do. */
async function mapped(site: Site, exchange: Exchange, error: unknown, own: Refusal): Promise<Refusal> {
  const { onResponseError } = site.options
  if (onResponseError === undefined) return own
  try {
    const shown: Error & Refusal = Object.assign(Object.create(asError(error)), own)
    const answer = await onResponseError(hookRequest(exchange), shown)
    return answer && isStatus(answer.status_code) ? answer : own
  } catch (failure) {
    site.engine.log.error({ err: failure }, 'onResponseError failed')
    return own
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('A hook refused the request.', { cause: error })
}

function log(site: Site, exchange: Exchange, error: unknown, failure: Failure | null): void {
  const facts = {
    err: error,
    method: exchange.method,
    code: failure?.code ?? 'refused_by_hook',
    requestId: exchange.headers['x-request-id'],
  }
  if (failure !== null && failure.status >= 500 && !isPassing(failure.code)) {
    site.engine.log.error(facts, 'a request failed')
  } else {
    site.engine.log.debug(facts, 'a request was refused')
  }
}
