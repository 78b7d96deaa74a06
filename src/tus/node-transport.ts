import type { IncomingMessage, ServerResponse } from 'node:http'
import { onFirstRead } from './arrival.js'
import { watchIdle } from './idle.js'
import { idle, type Passage } from './in-flight.js'
import { hasBody, NodeExchange } from './node-exchange.js'
import { sendReply } from './node-reply.js'
import { respond } from './respond.js'
import type { Site } from './site.js'

export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

export interface NodeTransport {
  /** For `request`. Answers, whatever happens, and never rejects. */
  readonly handle: NodeHandler
  /** For `checkContinue`: says `100 Continue` only when the body is wanted. */
  readonly checkContinue: NodeHandler
}

/** Serves node:http requests without any stream between the socket and the store. */
export function nodeTransport(site: Site): NodeTransport {
  return {
    handle: (request, response) => serve(site, request, response),
    checkContinue: (request, response) => {
      onFirstRead(request, () => {
        if (!response.headersSent) response.writeContinue()
      })
      return serve(site, request, response)
    },
  }
}

async function serve(site: Site, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const passage = site.inFlight.begin()
  // A client that leaves is an 'error' on both, at any moment, and without listeners the end of the process.
  const left = (error: Error) =>
    site.engine.log.debug({ err: error, method: request.method }, 'a client left')
  request.on('error', left)
  response.on('error', left)
  const stopWatching = watch(site, request, passage)
  try {
    const reply = await respond(site, new NodeExchange(site, request, response, passage.signal))
    stopWatching()
    await sendReply(site, request, response, reply)
  } catch (error) {
    // Nothing a client or a hook does should get here; should it, this request alone ends.
    site.engine.log.error({ err: error }, 'an answer could not be given')
    response.destroy()
  } finally {
    stopWatching()
    passage.end()
  }
}

/** Ends a request whose client sends nothing while its body is waited for: half-open sockets look like that. */
function watch(site: Site, request: IncomingMessage, passage: Passage): () => void {
  const limit = site.idleTimeout
  if (limit === null || !hasBody(request)) return () => undefined
  let stop: (() => void) | null = null
  let over = false
  onFirstRead(request, () => {
    if (!over) stop = watchIdle(request, limit, () => passage.interrupt(idle(limit)))
  })
  return () => {
    over = true
    stop?.()
  }
}
