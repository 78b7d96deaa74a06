import type { IncomingMessage, ServerResponse } from 'node:http'
import { continueWhenRead, serve } from '../http/serve.js'
import { NodeExchange } from './node-exchange.js'
import { respond } from './respond.js'
import type { Site } from './site.js'

export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

export interface NodeTransport {
  /** For `request`. Answers, whatever happens, and never rejects. */
  readonly handle: NodeHandler
  /** For `checkContinue`: says `100 Continue` only when the body is wanted. */
  readonly checkContinue: NodeHandler
}

/** Serves node:http requests. */
export function nodeTransport(site: Site): NodeTransport {
  const { inFlight, idleTimeout } = site
  const counter = { log: site.engine.log, inFlight, idleTimeout }
  const handle: NodeHandler = (request, response) =>
    serve(counter, request, response, (passage) =>
      respond(site, new NodeExchange(site, request, response, passage)),
    )
  return {
    handle,
    checkContinue: (request, response) => {
      continueWhenRead(request, response)
      return handle(request, response)
    },
  }
}
