import { listenFailure, StartFailure } from './command/failure.js'
import { fork } from './command/fork.js'
import { freePort } from './command/free-port.js'
import type { Primary } from './command/primary.js'
import { say } from './command/say.js'
import { aborted } from './command/stop-signals.js'
import type { WorkerTask } from './command/worker-messages.js'
import { WORKERS_LIMITS, Workers } from './command/workers.js'
import type { Config } from './config.js'
import { type Opening, prepareDatabase } from './open-engine.js'
import { assembleServer, listen } from './tributary.js'

/** What a command works with, whichever it is. */
export interface Run extends Opening {
  /** Aborts when the person at the keyboard asked a second time. */
  readonly hurry: AbortSignal
}

/** Serves until asked to stop. Throws a StartFailure when it cannot start, or its database is gone for good. */
export async function serve(run: Run): Promise<void> {
  await (run.config.workers === 1 ? serveAlone(run) : serveWithWorkers(run))
}

async function serveAlone(run: Run): Promise<void> {
  const { config, log, stop, hurry, teardown } = run
  const assembled = await assembleServer(run)
  if (assembled === null) return
  const { server, address } = await listen(assembled.app, config, log, teardown, hurry)
  sayReady(config, address)
  await untilStopped(stop, assembled.lost)
  log.info({ running: server.running }, 'draining')
}

/** Serves nothing by itself: it owns the database, and sees to it that so many others serve. */
async function serveWithWorkers(run: Run): Promise<void> {
  const { config, log, stop, hurry, teardown } = run
  const { connection, lost } = await prepareDatabase(run)
  if (stop.aborted) return
  const task: WorkerTask = { connection: config.databaseUrl === null ? connection : null }
  const workers = new Workers({
    count: config.workers,
    log,
    fork: () => fork(task),
    choosePort: () => choosePort(config),
  })
  const { usual, hurried } = WORKERS_LIMITS
  teardown.add('the workers', usual, () => workers.stop(hurry), hurried)
  const address = await Promise.race([workers.start(), aborted(stop)])
  if (address === undefined) return
  sayReady(config, address)
  await untilStopped(stop, lost)
}

/** What a worker does: it serves like one that is alone, with the database and the port it is told. */
export async function work(run: Run, primary: Primary, { connection }: WorkerTask): Promise<void> {
  const { config, log, stop, hurry, teardown } = run
  const assembled = await assembleServer(connection === null ? run : { ...run, connection })
  if (assembled === null) return
  await primary.tell('prepared')
  const port = await Promise.race([primary.port, aborted(stop)])
  if (port === undefined) return
  const { server, address } = await listen(assembled.app, { ...config, port }, log, teardown, hurry)
  await primary.tell('listening', address)
  await aborted(stop)
  log.info({ running: server.running }, 'draining')
}

async function choosePort({ host, port }: Config): Promise<number> {
  if (port !== 0) return port
  try {
    return await freePort(host)
  } catch (error) {
    throw listenFailure(error, host, port)
  }
}

function sayReady({ tusPath }: Config, address: string): void {
  say(`Tributary is ready at ${address}${tusPath}`)
}

async function untilStopped(stop: AbortSignal, lost: Promise<Error>): Promise<void> {
  const error = await Promise.race([lost, aborted(stop)])
  if (error !== undefined) throw new StartFailure(error.message, { cause: error })
}
