import { type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse, STATUS_CODES } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Logger } from '../upload/log.js'
import { failureOf, reasonOf } from './errors.js'
import { hasBody } from './has-body.js'
import { linger } from './linger.js'
import { hasHeader, isBodiless, type Reply } from './reply.js'

/** Puts a reply on the wire; with `close` as the last one of its connection. Resolves when it is out, or that gone. */
export async function sendReply(
  log: Logger,
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
  close: boolean,
): Promise<void> {
  const body = bodyToSend(request, response, reply)
  // The client left, or a hook answered through the Node response it was given.
  if (response.headersSent || response.destroyed) {
    if (body instanceof Readable) body.destroy()
    return
  }
  const unread = hasBody(request) && !request.complete
  try {
    writeHead(response, reply, body, unread || close)
  } catch (error) {
    // A hook gave a status or a header HTTP does not have.
    log.error({ err: error }, 'an answer could not be put into headers')
    if (body instanceof Readable) body.destroy()
    await answerInternal(request, response, unread)
    return
  }
  if (body instanceof Readable) await stream(log, response, body)
  else await end(request, response, body, unread)
  // What a reader left behind would keep the connection's next request waiting.
  request.resume()
}

function bodyToSend(request: IncomingMessage, response: ServerResponse, reply: Reply): Reply['body'] {
  const { body } = reply
  if (request.method !== 'HEAD' && !isBodiless(reply.status) && !response.destroyed) return body ?? ''
  if (body instanceof Readable) body.destroy()
  return null
}

function writeHead(response: ServerResponse, reply: Reply, body: Reply['body'], close: boolean): void {
  const headers: OutgoingHttpHeaders = {}
  for (const [name, value] of Object.entries(reply.headers)) {
    headers[name] = typeof value === 'string' ? value : [...value]
  }
  if (typeof body === 'string' && !hasHeader(reply.headers, 'Content-Length')) {
    headers['Content-Length'] = Buffer.byteLength(body)
  }
  // HTTP/2 ends streams, not connections, and refuses this header.
  if (close && response.req.httpVersionMajor < 2) headers.Connection = 'close'
  const reason = reasonOf(reply.status) ?? STATUS_CODES[reply.status] ?? 'Unknown'
  response.writeHead(reply.status, reason, headers)
}

async function answerInternal(
  request: IncomingMessage,
  response: ServerResponse,
  unread: boolean,
): Promise<void> {
  const { status, sentence } = failureOf(null)
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  const reply = { status, headers: { 'Content-Type': 'text/plain; charset=utf-8' }, body: `${sentence}\n` }
  writeHead(response, reply, reply.body, true)
  await end(request, response, reply.body, unread)
}

/**
 * Ends the answer. While the client still sends, the answer goes out in full but the connection is kept for a while:
 * `end` would close it, and the reset that follows takes the answer from a client that has not read it yet.
 */
async function end(
  request: IncomingMessage,
  response: ServerResponse,
  body: string | null,
  unread: boolean,
): Promise<void> {
  if (!unread || request.httpVersionMajor >= 2) {
    response.end(body ?? '')
  } else {
    if (body) response.write(body)
    else response.flushHeaders()
    await linger(request)
    response.end()
  }
  await settled(response)
}

function settled(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.writableFinished || response.destroyed) resolve()
    response.once('finish', resolve)
    response.once('close', resolve)
  })
}

const GONE = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE', 'ERR_STREAM_DESTROYED'])

/** A client that leaves ends the read; a read that fails cuts the connection, so that nobody takes it for the end. */
async function stream(log: Logger, response: ServerResponse, body: Readable): Promise<void> {
  try {
    await pipeline(body, response)
  } catch (error) {
    const left = GONE.has(String((error as NodeJS.ErrnoException).code))
    log[left ? 'debug' : 'error']({ err: error }, 'a download did not reach its end')
  }
}
