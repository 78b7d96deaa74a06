import type Koa from 'koa'
import { checkNames } from '../stores/parallel/options.js'
import { type App, createApp, type IdentifyContext } from './app.js'
import { listenFailure } from './command/failure.js'
import { openAuthenticator } from './command/open-authenticator.js'
import { stderrLog } from './command/stderr-log.js'
import { Teardown } from './command/teardown.js'
import { type Environment, parseConfig } from './config.js'
import { identifierFor } from './http/identifier.js'
import { UploadServer } from './http/server.js'
import { type EngineOverrides, type Opening, openEngine } from './open-engine.js'
import { Background } from './upload/background.js'
import type { Engine } from './upload/engine.js'
import type { UploadEvents } from './upload/events.js'
import type { Logger } from './upload/log.js'

/** What code can put in the place of what the settings say. */
export interface Overrides extends EngineOverrides {
  /** Names the owner of a request, instead of AUTH_TOKENS, JWT_* and the identifier mode. */
  readonly identify?: IdentifyContext
  /** Koa middleware that runs before the protocols, such as authentication of one's own. None may read the body. */
  readonly middleware?: readonly Koa.Middleware[]
}

/** A server that is put together, with its work in the background under way, and no port open. */
export interface Assembled {
  readonly app: App
  readonly engine: Engine
  /** Resolves when the embedded database is gone for good. */
  readonly lost: Promise<Error>
}

const BACKGROUND_MS = 5_000

/** The one place where everything is put together. Null when it was to be given up meanwhile. */
export async function assembleServer(opening: Opening, overrides: Overrides = {}): Promise<Assembled | null> {
  const { config, log, teardown } = opening
  const opened = await openEngine(opening, overrides)
  if (opened === null) return null
  const { engine, database, lost } = opened
  const background = new Background(engine)
  teardown.add('the work in the background', BACKGROUND_MS, () => background.stop())
  const identify =
    overrides.identify ??
    identifierFor(config.identifierMode, await openAuthenticator(config, { database, log }))
  const { tusPath, idleTimeout, behindProxy, fragoPaths: paths } = config
  const checksum = { type: config.checksumType, required: config.doChecksum }
  const app = createApp(
    { engine },
    {
      ...{ tusPath, idleTimeout, behindProxy, identify, frago: { paths, checksum } },
      ...(overrides.middleware && { middleware: overrides.middleware }),
    },
  )
  background.start()
  return { app, engine, lost }
}

const OPTIONS: readonly (keyof TributaryOptions)[] = [
  'settings',
  'log',
  'identify',
  'middleware',
  'onUploadRow',
  'bytes',
  'assembledDirectory',
]

export interface TributaryOptions extends Overrides {
  /** Settings by the names of the environment's variables; WORKERS has no effect. Default: all defaults; the environment is not read. */
  readonly settings?: Environment
  /** Default: JSON lines on stderr, as the command writes them. */
  readonly log?: Logger
}

/** The whole server inside another program. */
export interface Tributary {
  readonly koa: Koa
  /** For `request` of a node:http server of one's own, whose `requestTimeout` must be 0. */
  readonly listener: App['listener']
  /** For its `checkContinue`. */
  readonly checkContinue: App['checkContinue']
  readonly events: UploadEvents
  readonly engine: Engine
  /** Opens HOST and PORT; resolves with the server's address, such as `http://127.0.0.1:1080`. */
  listen(): Promise<string>
  /** Resolves when the embedded database is gone for good: then nothing works any more. */
  readonly lost: Promise<Error>
  /**
   * Ends running uploads at a recorded offset, then everything that was opened. Downloads have 5 s to end where `listen` opened the
   * port, else 10 s.
   */
  close(): Promise<void>
}

/**
 * Opens what `tributary serve` runs, under the same settings, with code in the place of what they cannot say. Throws a
 * TypeError for options there are not, a ConfigError, or an Error with a sentence when something cannot be opened.
 */
export async function openTributary(options: TributaryOptions = {}): Promise<Tributary> {
  checkNames(options, OPTIONS)
  const { settings = {}, log = stderrLog(), ...overrides } = options
  const config = parseConfig(applicable(settings, options), ['serve'])
  if (settings.WORKERS)
    log.warn({}, 'WORKERS: has no effect in a program, which may run several processes itself')
  for (const warning of config.warnings) log.warn({}, warning)
  const never = new AbortController().signal
  const teardown = new Teardown(log, never)
  try {
    const assembled = await assembleServer({ config, log, stop: never, teardown }, overrides)
    if (assembled === null) throw new Error('The start was given up.')
    const { app, engine, lost } = assembled
    teardown.add('the requests under way', HTTP_MS, () => app.drain())
    let closing: Promise<unknown> | null = null
    return {
      ...{ koa: app.koa, listener: app.listener, checkContinue: app.checkContinue },
      ...{ engine, events: engine.events, lost },
      listen: async () => {
        const opened = await listen(app, config, log, teardown)
        return opened.address
      },
      close: async () => {
        closing ??= teardown.run()
        await closing
      },
    }
  } catch (error) {
    await teardown.run()
    throw error
  }
}

/** A program is one process. Whoever names owners by code may call the mode what they like. */
function applicable(settings: Environment, { identify }: TributaryOptions): Environment {
  const { WORKERS: _, ...ours } = settings
  return identify ? { ...ours, CHUNKED_UPLOADER_IDENTIFIER_MODE: undefined } : ours
}

const HTTP_MS = 10_000

/** Downloads cannot end at a recorded offset, only go on elsewhere: they get this long to finish, in ms. */
const DOWNLOADS_MS = 5_000

/** Opens the port. */
export async function listen(
  app: App,
  { host, port }: { readonly host: string; readonly port: number },
  log: Logger,
  teardown: Teardown,
  hurry: AbortSignal = new AbortController().signal,
): Promise<{ server: UploadServer; address: string }> {
  const server = new UploadServer(app, log)
  const opened = await server.open(host, port).catch((error: unknown) => {
    throw listenFailure(error, host, port)
  })
  teardown.add('the requests under way', HTTP_MS, () => drain(server, app, log, hurry))
  const name = opened.address.includes(':') ? `[${opened.address}]` : opened.address
  return { server, address: `http://${name}:${opened.port}` }
}

/** No new requests; uploads end at a recorded offset; downloads get a moment; what is left is cut. */
async function drain(server: UploadServer, app: App, log: Logger, hurry: AbortSignal): Promise<void> {
  const closed = server.drain()
  const cut = (why: string) => {
    clearTimeout(timer)
    log.info({ running: server.running, why }, 'cutting what still runs')
    server.closeAllConnections()
  }
  const hurried = () => cut('told to hurry')
  const timer = setTimeout(() => cut('it took too long'), DOWNLOADS_MS)
  hurry.addEventListener('abort', hurried, { once: true })
  if (hurry.aborted) hurried()
  try {
    await Promise.all([app.drain(), closed])
  } finally {
    clearTimeout(timer)
    hurry.removeEventListener('abort', hurried)
  }
}
