#!/usr/bin/env node
import { killWorkers, taskIn } from './command/fork.js'
import { keepFreedMemory, keepYoungSpace, letHeapGrow } from './command/memory.js'
import { Primary } from './command/primary.js'
import { complain, complaintOf, say } from './command/say.js'
import { stderrLog } from './command/stderr-log.js'
import { StopSignals } from './command/stop-signals.js'
import { Teardown } from './command/teardown.js'
import type { WorkerTask } from './command/worker-messages.js'
import { type Config, ConfigError, helpText, parseCommandLine, parseConfig } from './config.js'
import { openEngine, prepareDatabase } from './open-engine.js'
import { type Run, serve, work } from './serve.js'
import type { Logger } from './upload/log.js'
import { sweep } from './upload/sweep.js'
import { VERSION } from './version.js'

/** Exit codes: 0 done or drained, 1 failed, 2 told something that cannot work. */
const DONE = 0
const FAILED = 1
const MISUSED = 2

async function main(env: NodeJS.ProcessEnv, argv: readonly string[]): Promise<number> {
  letHeapGrow()
  keepFreedMemory()
  keepYoungSpace()
  const { command } = parseCommandLine(argv)
  if (command === 'help' || command === 'version') {
    say(command === 'help' ? helpText() : VERSION)
    return DONE
  }
  const config = parseConfig(env, argv)
  const log = stderrLog()
  endOnBugs(log)
  // The SDK would say on each start with Node 20, in eight lines that are no JSON, that its versions of 2027 want Node 22: README says so.
  if (config.objects !== null) env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'
  const task = taskIn(env)
  return task === null ? obey(config, log) : workFor(task, config, log)
}

const COMMANDS: Readonly<Record<Config['command'], (run: Run) => Promise<void>>> = {
  serve,
  migrate: bringUpToDate,
  sweep: sweepOnce,
}

async function obey(config: Config, log: Logger): Promise<number> {
  for (const warning of config.warnings) log.warn({}, warning)
  const signals = new StopSignals()
  signals.listen(() => {
    killWorkers()
    process.exit(FAILED)
  })
  return runToEnd(COMMANDS[config.command], config, log, signals, complain)
}

/** A worker prints nothing but its log: the primary says once what several of them may have met. */
async function workFor(task: WorkerTask, config: Config, log: Logger): Promise<number> {
  const primary = new Primary(log)
  primary.listen()
  const failed = (error: unknown) => primary.tell('failed', complaintOf(error))
  return runToEnd((run) => work(run, primary, task), config, log, primary, failed)
}

async function runToEnd(
  command: (run: Run) => Promise<void>,
  config: Config,
  log: Logger,
  { drain: stop, hurry }: { readonly drain: AbortSignal; readonly hurry: AbortSignal },
  failed: (error: unknown) => void | Promise<void>,
): Promise<number> {
  const teardown = new Teardown(log, hurry)
  let code = FAILED
  try {
    await command({ config, log, stop, hurry, teardown })
    code = DONE
  } catch (error) {
    await failed(error)
  }
  return (await teardown.run()) ? code : FAILED
}

async function bringUpToDate(run: Run): Promise<void> {
  const { applied } = await prepareDatabase(run)
  say(applied.length === 0 ? 'The database is up to date.' : `Applied ${applied.join(', ')}.`)
}

async function sweepOnce(run: Run): Promise<void> {
  const opened = await openEngine(run)
  if (opened === null) return
  const { expired, removedBlobs, removedFiles } = await sweep(opened.engine, run.stop)
  say(`Expired uploads: ${expired}. Blobs removed: ${removedBlobs}. Leftover files removed: ${removedFiles}.`)
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

// Whoever read the line and closed the pipe has what they wanted.
process.stdout.on('error', () => undefined)

main(process.env, process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    complain(error)
    process.exit(error instanceof ConfigError ? MISUSED : FAILED)
  },
)
