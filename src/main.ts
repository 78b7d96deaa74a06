#!/usr/bin/env node
import { migrate } from '../stores/postgres/migrate.js'
import { StartFailure, starting } from './command/failure.js'
import { letHeapGrow } from './command/heap.js'
import { stderrLog } from './command/stderr-log.js'
import { aborted, StopSignals } from './command/stop-signals.js'
import { Teardown } from './command/teardown.js'
import { type Config, ConfigError, helpText, parseCommandLine, parseConfig } from './config.js'
import { databaseSubject, type Opening, openEngine, reachDatabase } from './open-engine.js'
import { assembleServer, listen } from './tributary.js'
import type { Logger } from './upload/log.js'
import { sweep } from './upload/sweep.js'
import { VERSION } from './version.js'

/** Exit codes: 0 done or drained, 1 failed, 2 told something that cannot work. */
const DONE = 0
const FAILED = 1
const MISUSED = 2

/** What a command works with, whichever it is. */
interface Run extends Opening {
  /** Aborts when the person at the keyboard asked a second time. */
  readonly hurry: AbortSignal
}

async function main(env: NodeJS.ProcessEnv, argv: readonly string[]): Promise<number> {
  letHeapGrow()
  const { command } = parseCommandLine(argv)
  if (command === 'help') return say(helpText())
  if (command === 'version') return say(VERSION)
  const config = parseConfig(env, argv)
  const log = stderrLog()
  endOnBugs(log)
  for (const warning of config.warnings) log.warn({}, warning)
  const signals = new StopSignals()
  signals.listen(() => process.exit(FAILED))
  const { drain: stop, hurry } = signals
  const teardown = new Teardown(log, hurry)
  let code = FAILED
  try {
    code = await COMMANDS[config.command]({ config, log, stop, hurry, teardown })
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
  const { config, log, stop, hurry, teardown } = run
  const assembled = await assembleServer(run)
  if (assembled === null) return DONE
  const { server, address } = await listen(assembled.app, config, log, teardown, hurry)
  say(`Tributary is ready at ${address}${config.tusPath}`)
  const lost = await Promise.race([assembled.lost, aborted(stop)])
  if (lost === undefined) {
    log.info({ running: server.running }, 'draining')
    return DONE
  }
  complain(new StartFailure(lost.message, { cause: lost }))
  return FAILED
}

async function bringUpToDate(run: Run): Promise<number> {
  const { config } = run
  const { connection } = await reachDatabase(run)
  const applied = await starting(databaseSubject(config), () =>
    migrate(config.databaseDirectUrl ?? connection, config.databaseSchema),
  )
  return say(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`)
}

async function sweepOnce(run: Run): Promise<number> {
  const opened = await openEngine(run)
  if (opened === null) return DONE
  const { expired, removedBlobs, removedFiles } = await sweep(opened.engine, run.stop)
  return say(
    `Expired uploads: ${expired}. Blobs removed: ${removedBlobs}. Leftover files removed: ${removedFiles}.`,
  )
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

// Whoever read the line and closed the pipe has what they wanted.
process.stdout.on('error', () => undefined)

main(process.env, process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    complain(error)
    process.exit(error instanceof ConfigError ? MISUSED : FAILED)
  },
)
