import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Identify } from '../http/identity.js'
import { InFlight } from '../http/in-flight.js'
import { continueWhenRead, serve } from '../http/serve.js'
import type { Engine } from '../upload/engine.js'
import { exchangeOf } from './exchange.js'
import { respond } from './respond.js'
import type { ChecksumSettings, Site } from './site.js'

export interface FragoOptions {
  /** Paths to answer below; they begin with a slash and do not end with one. */
  readonly mounts: readonly string[]
  readonly checksum: ChecksumSettings
  /** Names the owner of a request. */
  readonly identify: Identify
  /** How long a client may send nothing while its body is waited for, in ms; null: for ever. */
  readonly idleTimeout: number | null
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

export interface FragoHandler {
  /** For `request` of node:http. Answers, whatever happens, and never rejects. */
  readonly handle: Handler
  /** For `checkContinue`: says `100 Continue` only when the body is wanted. */
  readonly checkContinue: Handler
  /** Running chunks end, new requests are refused; resolves when none runs. */
  drain(): Promise<void>
}

/** The REST interface of the Django app frago 0.1.4 over an engine, for clients that cannot be changed. */
export function fragoHandler(engine: Engine, options: FragoOptions): FragoHandler {
  const inFlight = new InFlight()
  const site: Site = { engine, ...options, inFlight }
  const counter = { log: engine.log, inFlight, idleTimeout: options.idleTimeout }
  const handle: Handler = (request, response) =>
    serve(counter, request, response, (passage) => respond(site, exchangeOf(request, passage)))
  return {
    handle,
    checkContinue: (request, response) => {
      continueWhenRead(request, response)
      return handle(request, response)
    },
    drain: () => inFlight.drain(),
  }
}
