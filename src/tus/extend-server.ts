import type { Server } from '@tus/server'
import type { Identify } from '../http/identity.js'
import { InFlight } from '../http/in-flight.js'
import type { Engine } from '../upload/engine.js'
import { replaceHandlers } from './handlers.js'
import { inheritedUploads } from './inherited.js'
import { TusListeners } from './listeners.js'
import { type NodeHandler, nodeTransport } from './node-transport.js'
import type { Site } from './site.js'
import { serveWeb } from './web-transport.js'

export interface ExtendOptions {
  /** What stores and records. Default: the engine of the server's datastore, which a `ParallelStore` has. */
  readonly engine?: Engine
  /**
   * Names the owner of a request; uploads of others then do not exist for it. Default: everybody is the anonymous
   * owner. With it, pass whatever the request needs to be recognised by (a cookie, a token) in each request.
   */
  readonly identify?: Identify
  /**
   * How long a client may send nothing while its body is waited for, in ms. What came before is kept. Default: for
   * ever, as Node's own request time-out would also end uploads that are well.
   */
  readonly idleTimeout?: number
}

export interface ExtendedServer {
  /** The same as `server.handle`: for `request` of node:http, and for the handlers of Express, Koa and Fastify. */
  readonly handle: NodeHandler
  /** For `checkContinue` of node:http: clients that ask first are then refused before they send a byte. */
  readonly checkContinue: NodeHandler
  /** Requests under way. */
  readonly inFlight: number
  /**
   * Ends running uploads at a recorded offset, which is answered as success where bytes were kept, and refuses new
   * requests with 503 and Retry-After. Resolves when no request runs; downloads are not cut.
   */
  drain(): Promise<void>
}

/** A datastore that brings its engine along. */
interface EngineHolder {
  readonly engine: Engine
}

const extended = new WeakSet<Server>()

/**
 * Gives a server of @tus/server everything tus 1.0.0 has: concatenation, checksums and trailers, owners, and the
 * deviations of its own handlers put right. Its options and events stay as they are documented there. Throws a
 * TypeError when it cannot work as configured.
 */
export function extendServer(server: Server, options: ExtendOptions = {}): ExtendedServer {
  if (extended.has(server)) throw new TypeError('This server has been extended before; once is enough.')
  const inFlight = new InFlight()
  const engine = engineOf(server, options)
  const inherited = inheritedUploads(server, () => listeners)
  const handlers = replaceHandlers(server, (request) => serveWeb(site, request))
  const listeners = new TusListeners(server, handlers, engine.log)
  const site: Site = {
    engine,
    options: server.options,
    identify: options.identify ?? null,
    idleTimeout: idleTimeoutOf(options),
    inFlight,
    listeners,
    inherited,
    routes: handlers.get('GET')?.paths ?? new Map(),
  }
  const { handle, checkContinue } = nodeTransport(site)
  server.handle = handle
  server.handleWeb = (request) => serveWeb(site, request)
  extended.add(server)
  return {
    handle,
    checkContinue,
    get inFlight() {
      return inFlight.count
    },
    drain: () => inFlight.drain(),
  }
}

function engineOf(server: Server, options: ExtendOptions): Engine {
  if (options.engine !== undefined) return options.engine
  const { engine } = server.datastore as Partial<EngineHolder>
  if (engine !== undefined) return engine
  throw new TypeError(
    'extendServer needs an engine: give the server a ParallelStore as its datastore, or pass { engine }.',
  )
}

function idleTimeoutOf({ idleTimeout }: ExtendOptions): number | null {
  if (idleTimeout === undefined) return null
  if (Number.isFinite(idleTimeout) && idleTimeout > 0) return idleTimeout
  throw new TypeError(`idleTimeout must be a positive number of milliseconds, not ${idleTimeout}.`)
}
