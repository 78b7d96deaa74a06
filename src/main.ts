#!/usr/bin/env node
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pino } from 'pino'
import { DiskByteStore } from '../stores/disk/byte-store.js'
import type { Connection } from '../stores/postgres/database.js'
import { WORKING_ROOM } from '../stores/postgres/embedded/cluster.js'
import { startEmbeddedPostgres } from '../stores/postgres/embedded.js'
import { migrate } from '../stores/postgres/migrate.js'
import { type OpenPostgres, openPostgres } from '../stores/postgres/open.js'
import { type App, createApp } from './app.js'
import { makeDataDir } from './command/data-dir.js'
import { listenFailure, StartFailure, starting } from './command/failure.js'
import { aborted, StopSignals } from './command/stop-signals.js'
import { SupervisedDatabase } from './command/supervised-database.js'
import { Teardown } from './command/teardown.js'
import { type Config, ConfigError, helpText, parseCommandLine, parseConfig } from './config.js'
import { UploadServer } from './http/server.js'
import { Background } from './upload/background.js'
import { type Engine, makeEngine } from './upload/engine.js'
import type { Logger } from './upload/log.js'
import { sweep } from './upload/sweep.js'

/** Exit codes: 0 done or drained, 1 failed, 2 told something that cannot work. */
const DONE = 0
const FAILED = 1
const MISUSED = 2

/** Most time each step of an ending may take, in ms: 30 s together, after which service managers kill. */
const LIMITS = { http: 10_000, background: 5_000, registry: 5_000, database: 10_000 }

/** Downloads cannot end at a recorded offset, only go on elsewhere: they get this long to finish, in ms. */
const DOWNLOADS_MS = 5_000

/** What a command works with, whichever it is. */
interface Run {
  readonly config: Config
  readonly log: Logger
  readonly stop: StopSignals
  readonly teardown: Teardown
  /** Resolves when the embedded database is gone for good. */
  databaseLost: Promise<Error>
}

async function main(env: NodeJS.ProcessEnv, argv: readonly string[]): Promise<number> {
  const { command } = parseCommandLine(argv)
  if (command === 'help') return say(helpText())
  if (command === 'version') return say(version())
  const config = parseConfig(env, argv)
  const log = pino({}, pino.destination({ dest: 2, sync: true }))
  endOnBugs(log)
  for (const warning of config.warnings) log.warn(warning)
  const stop = new StopSignals()
  stop.listen(() => process.exit(FAILED))
  const teardown = new Teardown(log, stop.hurry)
  const run: Run = { config, log, stop, teardown, databaseLost: new Promise(() => undefined) }
  let code = FAILED
  try {
    code = await COMMANDS[config.command](run)
  } catch (error) {
    complain(error)
  }
  return (await teardown.run()) ? code : FAILED
}

const COMMANDS: Readonly<Record<Config['command'], (run: Run) => Promise<number>>> = {
  serve,
  migrate: bringUpToDate,
  sweep: sweepOnce,
}

async function serve(run: Run): Promise<number> {
  const { config, log, stop, teardown } = run
  const engine = await openEngine(run)
  if (engine === null) return DONE
  const background = new Background(engine)
  teardown.add('the work in the background', LIMITS.background, () => background.stop())
  const app = createApp({ engine }, config)
  const server = new UploadServer(app, log)
  const { address, port } = await server.open(config.host, config.port).catch((error: unknown) => {
    throw listenFailure(error, config.host, config.port)
  })
  teardown.add('the requests under way', LIMITS.http, () => drain(server, app, stop.hurry))
  background.start()
  const host = address.includes(':') ? `[${address}]` : address
  say(`Tributary is ready at http://${host}:${port}${config.tusPath}`)
  const lost = await Promise.race([run.databaseLost, aborted(stop.drain)])
  if (lost === undefined) {
    log.info({ running: server.running }, 'draining')
    return DONE
  }
  complain(new StartFailure(lost.message, { cause: lost }))
  return FAILED
}

async function bringUpToDate(run: Run): Promise<number> {
  const { config } = run
  const connection = await reachDatabase(run)
  const applied = await starting(databaseSubject(config), () =>
    migrate(config.databaseDirectUrl ?? connection, config.databaseSchema),
  )
  return say(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`)
}

async function sweepOnce(run: Run): Promise<number> {
  const engine = await openEngine(run)
  if (engine === null) return DONE
  const { expired, removedBlobs, removedFiles } = await sweep(engine, run.stop.drain)
  return say(
    `Expired uploads: ${expired}. Blobs removed: ${removedBlobs}. Leftover files removed: ${removedFiles}.`,
  )
}

/** Database, registry and byte store, each ended by the teardown. Null when a signal came meanwhile. */
async function openEngine(run: Run): Promise<Engine | null> {
  const { config, log, stop, teardown } = run
  const connection = await reachDatabase(run)
  if (stop.drain.aborted) return null
  const postgres = await starting(databaseSubject(config), () => open(config, connection, log))
  teardown.add('the work with the database', LIMITS.registry, () => postgres.close())
  const bytes = new DiskByteStore({
    directory: join(await makeDataDir(config.dataDir), 'blobs'),
    durability: config.durability,
    reserve: config.databaseUrl === null ? WORKING_ROOM : 0,
  })
  await starting('DATA_DIR', () => bytes.open())
  if (stop.drain.aborted) return null
  const { maxSize, assembly } = config
  return makeEngine({ registry: postgres.registry, bytes, log, policy: { maxSize, assembly } })
}

function open(config: Config, connection: Connection, log: Logger): Promise<OpenPostgres> {
  return openPostgres({
    connection,
    ...(config.databaseDirectUrl !== null && { directConnection: config.databaseDirectUrl }),
    schema: config.databaseSchema,
    expiration: config.expiration,
    log,
  })
}

/** The given database, or our own, started for this. */
async function reachDatabase(run: Run): Promise<Connection> {
  const { config, log, teardown } = run
  if (config.databaseUrl !== null) return config.databaseUrl
  const directory = await makeDataDir(config.dataDir)
  const start = () =>
    startEmbeddedPostgres({ directory, log: (message, facts) => log.info({ embedded: facts }, message) })
  const database = await starting(null, () => SupervisedDatabase.start(start, log))
  teardown.add('the embedded database', LIMITS.database, () => database.stop())
  run.databaseLost = database.lost
  return { ...database.connection }
}

function databaseSubject(config: Config): string {
  return config.databaseUrl === null ? 'The embedded database' : 'DATABASE_URL: the database cannot be used'
}

/** No new requests; uploads end at a recorded offset; downloads get a moment; what is left is cut. */
async function drain(server: UploadServer, app: App, hurry: AbortSignal): Promise<void> {
  const closed = server.drain()
  const cut = () => server.closeAllConnections()
  hurry.addEventListener('abort', cut, { once: true })
  if (hurry.aborted) cut()
  const timer = setTimeout(cut, DOWNLOADS_MS)
  await Promise.all([app.drain(), closed])
  clearTimeout(timer)
}

/** A bug must not linger half alive: what it broke, the next start puts right. */
function endOnBugs(log: Logger): void {
  const end = (error: unknown) => {
    log.error({ err: error }, 'an unexpected error ends the process')
    process.exit(FAILED)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', end)
}

function complain(error: unknown): void {
  const known = error instanceof StartFailure || error instanceof ConfigError
  process.stderr.write(
    `${known ? error.message : (error instanceof Error && error.stack) || String(error)}\n`,
  )
}

function say(text: string): number {
  process.stdout.write(`${text}\n`)
  return DONE
}

function version(): string {
  const { version } = createRequire(import.meta.url)('tus-tributary/package.json') as { version: string }
  return version
}

// Whoever read the line and closed the pipe has what they wanted.
process.stdout.on('error', () => undefined)

main(process.env, process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    complain(error)
    process.exit(error instanceof ConfigError ? MISUSED : FAILED)
  },
)
