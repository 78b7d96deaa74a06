import type { Reply, ReplyHeaders } from '../http/reply.js'

/** Compact UTF-8 and no charset, as Django REST framework renders it. */
export function json(status: number, value: unknown, headers: ReplyHeaders = {}): Reply {
  return { status, headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(value) }
}
