import { CHALLENGES } from './credentials.js'
import { failureOf, isPassing } from './errors.js'
import type { ReplyHeaders } from './reply.js'

/** What a client is to be told by who threw an error. */
export interface ThrownAnswer {
  readonly status: number
  readonly headers: ReplyHeaders
  readonly body: string
}

/**
 * The answer an error asks for: of Koa's `ctx.throw` (and koa-jwt, http-errors), of the hooks of @tus/server
 * (`{ status_code, body }`), and of our own coded errors. Null when it is nobody's answer but a bug.
 */
export function thrownAnswer(error: unknown): ThrownAnswer | null {
  if (typeof error !== 'object' || error === null) return null
  return exposed(error) ?? refused(error) ?? coded(error)
}

/** http-errors: `expose` says that the message is meant for the client. */
function exposed(error: object): ThrownAnswer | null {
  const { status, expose, message, headers } = error as Partial<Record<string, unknown>>
  if (!isRefusal(status) || expose !== true) return null
  return { status, headers: plainHeaders(headers), body: `${String(message)}\n` }
}

function refused(error: object): ThrownAnswer | null {
  const { status_code, body } = error as Partial<Record<string, unknown>>
  if (!isRefusal(status_code)) return null
  return {
    status: status_code,
    headers: {},
    body: typeof body === 'string' ? body : 'The request was refused.\n',
  }
}

function coded(error: object): ThrownAnswer | null {
  const { code, status, sentence } = failureOf(error)
  if (status === 500) return null
  return {
    status,
    headers: {
      ...(code === 'unauthenticated' && { 'WWW-Authenticate': CHALLENGES }),
      ...(isPassing(code) && { 'Retry-After': '1' }),
    },
    body: `${sentence}\n`,
  }
}

function isRefusal(status: unknown): status is number {
  return typeof status === 'number' && Number.isInteger(status) && status >= 300 && status <= 599
}

function plainHeaders(headers: unknown): ReplyHeaders {
  if (typeof headers !== 'object' || headers === null) return {}
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))
}
