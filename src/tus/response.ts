import { Readable } from 'node:stream'
import { reasonOf } from '../http/errors.js'
import { isBodiless, type Reply, type ReplyHeaders } from '../http/reply.js'

/** A reply as the web's Response, for listeners and for servers that speak `fetch`. */
export function toResponse(reply: Reply): Response {
  const headers = new Headers()
  for (const [name, value] of Object.entries(reply.headers)) {
    for (const each of typeof value === 'string' ? [value] : value) headers.append(name, each)
  }
  const reason = reasonOf(reply.status)
  return new Response(isBodiless(reply.status) ? null : webBody(reply.body), {
    status: reply.status,
    headers,
    ...(reason !== undefined && { statusText: reason }),
  })
}

function webBody(body: Reply['body']): string | ReadableStream | null {
  return body instanceof Readable ? webStream(body) : body
}

/** Not Readable.toWeb: on Node 20 that throws `ERR_INVALID_STATE`, uncaught, when a reader leaves (issue 2, point 11). */
function webStream(body: Readable): ReadableStream {
  const chunks = body[Symbol.asyncIterator]()
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel() {
      body.destroy()
    },
  })
}

/** Bytes of a stream whose owner keeps it: a reader that leaves only stops reading. */
export function lentToWeb(source: Readable): ReadableStream<Uint8Array> {
  const chunks = source.iterator({ destroyOnReturn: false })
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      async cancel() {
        await chunks.return?.()
      },
    },
    // Nothing is read before it is asked for: a read under way would keep whoever answers from dropping what nobody wanted.
    { highWaterMark: 0 },
  )
}

/** A web Response as a reply; `Set-Cookie` keeps its lines. */
export function fromResponse(response: Response): Reply {
  const headers: Record<string, string | readonly string[]> = Object.fromEntries(response.headers)
  const cookies = response.headers.getSetCookie()
  if (cookies.length > 0) headers['set-cookie'] = cookies
  return { status: response.status, headers: headers as ReplyHeaders, body: fromWeb(response.body) }
}

/** A web stream as a Node stream; ending one ends the other. */
export function fromWeb(body: ReadableStream | null): Readable | null {
  return body === null ? null : Readable.from(body, { objectMode: false })
}
