import type { RequestListener, ServerResponse } from 'node:http'
import Router from '@koa/router'
import { DataStore, Server } from '@tus/server'
import Koa from 'koa'
import { fragoHandler } from './frago/handler.js'
import { openApi } from './frago/openapi.js'
import type { ChecksumSettings } from './frago/site.js'
import { RequestError } from './http/errors.js'
import { Readiness } from './http/health.js'
import type { Identify } from './http/identity.js'
import { dropLeftover } from './http/leftover.js'
import { logWhenDone } from './http/log-requests.js'
import { Mounts, type ProtocolHandler } from './http/mounts.js'
import { checkedOwner } from './http/owner.js'
import { nameRequest } from './http/request-id.js'
import { endWhenStalled } from './http/stalled.js'
import { originForm } from './http/target.js'
import { type ThrownAnswer, thrownAnswer } from './http/thrown-answer.js'
import { extendServer } from './tus/extend-server.js'
import type { Engine } from './upload/engine.js'
import { VERSION } from './version.js'

export interface AppPorts {
  /** What stores and records. */
  readonly engine: Engine
  /** What answers below `tusPath`. Default: tus 1.0.0 with all its extensions, over the engine. */
  readonly tus?: ProtocolHandler
}

/**
 * Names the owner a request speaks for: a text of 1 to 200 characters without control characters, or null for the
 * anonymous owner, whom all anonymous requests share. To refuse a request use `ctx.throw`, or throw
 * `{ status_code, body }`. What middleware found out is in `ctx.state`.
 */
export type IdentifyContext = (ctx: Koa.Context) => string | null | Promise<string | null>

export interface FragoSettings {
  /** Where it is mounted, such as `/upload`: apart from the tus path and from each other. */
  readonly paths: readonly string[]
  readonly checksum: ChecksumSettings
}

export interface AppOptions {
  /** Where tus is mounted, such as `/files`: begins with `/`, does not end with it. */
  readonly tusPath: string
  /** The facade for clients of frago. Default: there is none. */
  readonly frago?: FragoSettings
  /** How long a client may send nothing of its body, or leave its answer unread, in ms. */
  readonly idleTimeout: number
  /** Whether forwarding headers are believed when upload URLs are made. Default false: anybody can send them. */
  readonly behindProxy?: boolean
  /** Names the owner of a request; uploads of others do not exist for it. Default, and null: all are the anonymous owner. */
  readonly identify?: IdentifyContext | null
  /**
   * Runs before the protocols and after health, readiness and `/openapi.json`, in this order: authentication of one's own, say. One
   * that answers and does not call `next` ends the request. None may read the body.
   */
  readonly middleware?: readonly Koa.Middleware[]
}

export interface App {
  readonly koa: Koa
  /** For `request` of a node:http server, whose `requestTimeout` must be off. */
  readonly listener: RequestListener
  /** For its `checkContinue`: clients that ask first are refused before they send a byte. */
  readonly checkContinue: RequestListener
  /** `/readyz` says no from now on, and running uploads end at a recorded offset. Resolves when no request runs. */
  drain(): Promise<void>
}

/** The HTTP application: health, readiness and the protocols. Opens no port and starts nothing. */
export function createApp(ports: AppPorts, options: AppOptions): App {
  const { engine } = ports
  const contexts: Contexts = new WeakMap()
  const identify = options.identify ? askWithContext(options.identify, contexts) : null
  const tus = ports.tus ?? tusHandler(engine, options, identify)
  const frago = fragoOf(engine, options, identify)
  const mounts = new Mounts([
    { paths: [options.tusPath], protocol: tus },
    ...(frago === null ? [] : [{ paths: frago.paths, protocol: frago.handler }]),
  ])
  const readiness = new Readiness(
    { database: () => engine.registry.check(), storage: () => engine.bytes.check() },
    engine.log,
  )
  const koa = new Koa()
  // Without a listener Koa prints every client that hung up.
  koa.on('error', (error: NodeJS.ErrnoException) =>
    engine.log.debug({ err: error }, 'a request ended in an error'),
  )
  koa.use(answerFailures(engine))
  koa.use(healthRoutes(readiness).routes())
  if (frago !== null) koa.use(describeFrago(frago))
  koa.use(rememberContext(contexts))
  for (const middleware of options.middleware ?? []) koa.use(middleware)
  koa.use(protocols(mounts))
  koa.use(nothingHere(options.tusPath))

  const throughKoa = koa.callback()
  // Where nothing is to come before our own protocols, and nobody asks for its context, Koa would only take a tenth of the
  // time of a small request.
  const direct = !ports.tus && identify === null && (options.middleware ?? []).length === 0
  const listener: RequestListener = (request, response) => {
    const requestId = nameRequest(request, response)
    logWhenDone(engine.log, request, response, requestId)
    dropLeftover(request, response)
    endWhenStalled(response, options.idleTimeout)
    const target = originForm(request.url ?? '')
    if (target === null) {
      refuseTarget(response)
      return
    }
    request.url = target
    const handle = (direct ? mounts.handlerOf(request) : null) ?? throughKoa
    handle(request, response).catch((error: unknown) => {
      engine.log.error({ err: error, requestId }, 'a request failed outside of every handler')
      response.destroy()
    })
  }
  return {
    koa,
    listener,
    checkContinue: (request, response) => {
      mounts.asks(request)
      listener(request, response)
    },
    drain: async () => {
      readiness.drain()
      await Promise.all([tus.drain(), frago?.handler.drain()])
    },
  }
}

interface Frago extends FragoSettings {
  readonly handler: ProtocolHandler
}

function fragoOf(engine: Engine, options: AppOptions, identify: Identify | null): Frago | null {
  const { frago, idleTimeout } = options
  if (frago === undefined || frago.paths.length === 0) return null
  const handler = fragoHandler(engine, {
    mounts: frago.paths,
    checksum: frago.checksum,
    identify: identify ?? (() => null),
    idleTimeout,
  })
  return { ...frago, handler }
}

function describeFrago({ paths, checksum }: Frago): Koa.Middleware {
  const document = openApi({ mounts: paths, checksumType: checksum.type, version: VERSION })
  return async (ctx, next) => {
    if (ctx.path !== '/openapi.json' || (ctx.method !== 'GET' && ctx.method !== 'HEAD')) return next()
    ctx.set('Access-Control-Allow-Origin', '*')
    ctx.body = document
  }
}

/** The tus protocol over the engine. The server's own store and locker are never asked: ours come in their place. */
function tusHandler(engine: Engine, options: AppOptions, identify: Identify | null): ProtocolHandler {
  const server = new Server({
    path: options.tusPath,
    datastore: new DataStore(),
    respectForwardedHeaders: options.behindProxy ?? false,
  })
  return extendServer(server, {
    engine,
    idleTimeout: options.idleTimeout,
    ...(identify && { identify }),
  })
}

/** Of each request the context in which middleware left what it found out; protocols are given raw requests. */
type Contexts = WeakMap<object, Koa.Context>

function rememberContext(contexts: Contexts): Koa.Middleware {
  return (ctx, next) => {
    contexts.set(ctx.req, ctx)
    return next()
  }
}

/** For protocols: rejects with coded errors and `{ status_code, body }` only, and gives owners that can be one. */
function askWithContext(identify: IdentifyContext, contexts: Contexts): Identify {
  return async (request) => {
    const ctx = contexts.get(request)
    if (ctx === undefined)
      throw new RequestError('misconfigured', 'The request did not come through the app.')
    try {
      return checkedOwner(await identify(ctx))
    } catch (error) {
      const answer = error instanceof Error && 'expose' in error ? thrownAnswer(error) : null
      if (answer === null) throw error
      setHeaders(ctx, answer)
      throw { status_code: answer.status, body: answer.body }
    }
  }
}

/**
 * What middleware threw as an answer becomes one. A bug becomes a 500 that says nothing of our insides, but for the id
 * under which the log says everything.
 */
function answerFailures(engine: Engine): Koa.Middleware {
  return async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      const requestId = ctx.req.headers['x-request-id']
      const answer = thrownAnswer(error)
      if (answer === null) engine.log.error({ err: error, requestId }, 'a request failed unexpectedly')
      else engine.log.debug({ err: error, requestId }, 'a request was refused')
      if (ctx.res.headersSent) {
        // The client must not take what it got for the whole answer.
        ctx.res.destroy()
        return
      }
      ctx.respond = true
      ctx.status = answer?.status ?? 500
      ctx.body =
        answer?.body ?? `Something went wrong here, not with your request; the log has it as ${requestId}.\n`
      if (answer !== null) setHeaders(ctx, answer)
    }
  }
}

function setHeaders(ctx: Koa.Context, { headers }: ThrownAnswer): void {
  for (const [name, value] of Object.entries(headers)) {
    ctx.set(name, typeof value === 'string' ? value : [...value])
  }
}

function healthRoutes(readiness: Readiness): Router {
  const router = new Router()
  router.get('/healthz', (ctx) => {
    ctx.set('Cache-Control', 'no-store')
    ctx.body = 'ok\n'
  })
  router.get('/readyz', async (ctx) => {
    const report = await readiness.report()
    ctx.set('Cache-Control', 'no-store')
    ctx.status = report.ready ? 200 : 503
    ctx.body = { ready: report.ready, ...report.parts }
  })
  return router
}

/** Hands the raw request over to its protocol, which answers by itself. */
function protocols(mounts: Mounts): Koa.Middleware {
  return async (ctx, next) => {
    const handle = mounts.handlerOf(ctx.req)
    if (handle === null) return next()
    ctx.respond = false
    // Koa begins every answer with 404.
    ctx.res.statusCode = 200
    await handle(ctx.req, ctx.res)
  }
}

function nothingHere(tusPath: string): Koa.Middleware {
  return (ctx) => {
    ctx.status = 404
    ctx.body = `There is nothing at this address; tus uploads are created with POST ${tusPath}.\n`
  }
}

function refuseTarget(response: ServerResponse): void {
  response.writeHead(400, { 'Content-Type': 'text/plain; charset=utf-8' })
  response.end('The address of the request is not one the server understands.\n')
}
