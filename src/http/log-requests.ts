import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from '../upload/log.js'

/** Request targets may be 128 KiB long; a log line need not be. */
const PATH_SHOWN = 256

const UPLOAD_ID = /\/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:[/?#]|$)/

/** Counters of a connection when its last request ended: connections serve many requests, one after the other. */
const counted = new WeakMap<Socket, { read: number; written: number }>()

/**
 * Logs a request once, when its response is done or its connection gone. Of the request only method and path are
 * written down: queries and headers may hold secrets, and bodies are the users'.
 */
export function logWhenDone(
  log: Logger,
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
): void {
  const began = performance.now()
  const { socket } = request
  // Koa and others rewrite `url` while routing.
  const target = request.url ?? ''
  const method = request.method
  response.once('close', () => {
    const status = response.headersSent ? response.statusCode : null
    const upload = uploadOf(target, response)
    const facts = {
      requestId,
      method,
      path: pathOf(target),
      status,
      ms: Math.round(performance.now() - began),
      ...bytesSince(socket),
      ...(upload !== null && { upload }),
      // The client left, or was let go, before the whole answer had gone out.
      ...(!isAnswered(response) && { aborted: true }),
    }
    log[levelOf(target, status)](facts, 'request')
  })
}

/** A client that hangs up at the last byte has it all, though `finish` then never comes. */
function isAnswered(response: ServerResponse): boolean {
  return response.writableFinished || (response.writableEnded && response.writableLength === 0)
}

function levelOf(target: string, status: number | null): 'debug' | 'info' | 'warn' {
  if (status !== null && status >= 500) return 'warn'
  // Probes come every few seconds and would drown the rest.
  return target === '/healthz' || target === '/readyz' ? 'debug' : 'info'
}

function pathOf(target: string): string {
  return (target.split(/[?#]/, 1)[0] ?? '').slice(0, PATH_SHOWN)
}

/** A creation names its upload only in the answer. */
function uploadOf(target: string, response: ServerResponse): string | null {
  const location = response.getHeader('location')
  const match = UPLOAD_ID.exec(typeof location === 'string' ? location : target)
  return match?.[1] ?? null
}

/** Bytes on the wire, headers included: the only count that is also right for a body that was cut short. */
function bytesSince(socket: Socket): { received: number; sent: number } {
  const before = counted.get(socket) ?? { read: 0, written: 0 }
  const now = { read: socket.bytesRead, written: socket.bytesWritten }
  counted.set(socket, now)
  return { received: now.read - before.read, sent: now.written - before.written }
}
