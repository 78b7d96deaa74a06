import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from '../upload/log.js'
import { onFirstRead } from './arrival.js'
import { hasBody } from './has-body.js'
import { watchIdle } from './idle.js'
import { type InFlight, idle, type Passage } from './in-flight.js'
import { endWithConnection } from './queued-answers.js'
import type { Reply } from './reply.js'
import { sendReply } from './send-reply.js'

/** What the requests of one protocol are served with. */
export interface Counter {
  readonly log: Logger
  readonly inFlight: InFlight
  /** How long a client may send nothing while its body is awaited, in ms; null: for ever. */
  readonly idleTimeout: number | null
}

/**
 * Answers one request of node:http with the reply that `answer` makes, without any stream between the socket and
 * whoever reads the body. `answer` is given the passage, whose signal says when to end early. Never rejects.
 */
export async function serve(
  counter: Counter,
  request: IncomingMessage,
  response: ServerResponse,
  answer: (passage: Passage) => Promise<Reply>,
): Promise<void> {
  const { log, inFlight } = counter
  const passage = inFlight.begin()
  // A client that leaves is an 'error' on both, at any moment, and without listeners the end of the process.
  const left = (error: Error) => log.debug({ err: error, method: request.method }, 'a client left')
  request.on('error', left)
  response.on('error', left)
  const stopWatching = watch(counter, request, passage)
  const stopWaiting = endWithConnection(request, response)
  try {
    const reply = await answer(passage)
    stopWatching()
    await sendReply(log, request, response, reply, inFlight.draining)
  } catch (error) {
    // Nothing a client or a hook does should get here; should it, this request alone ends.
    log.error({ err: error }, 'an answer could not be given')
    response.destroy()
  } finally {
    stopWatching()
    stopWaiting()
    passage.end()
  }
}

/** For requests that wait for it before they send their body: says `100 Continue` when the body is first read. */
export function continueWhenRead(request: IncomingMessage, response: ServerResponse): void {
  onFirstRead(request, () => {
    if (!response.headersSent) response.writeContinue()
  })
}

/** Ends a request whose client sends nothing while its body is waited for: half-open sockets look like that. */
function watch({ idleTimeout }: Counter, request: IncomingMessage, passage: Passage): () => void {
  const limit = idleTimeout
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
