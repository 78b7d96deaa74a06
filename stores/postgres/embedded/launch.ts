import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { parse } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Binaries } from './binaries.js'
import { EmbeddedPostgresError } from './error.js'
import type { Patience } from './patience.js'
import { type PidFile, readPidFile } from './pid-file.js'
import { ENVIRONMENT, type Runner } from './runner.js'
import { lastLines, openServerLog, type ServerLog } from './server-log.js'
import { chooseListening, type TransportKind } from './transport.js'

/** A whole database for one server on a laptop. Given at each start, so that an update changes them. */
const SETTINGS: Readonly<Record<string, string>> = {
  shared_buffers: '64MB',
  max_connections: '100',
  // A 2xx is a promise (law 3): nothing about durability is left to defaults.
  fsync: 'on',
  synchronous_commit: 'on',
  // Three processes fewer, and nothing here reads ahead enough to miss them.
  io_method: 'sync',
  jit: 'off',
  // Refused statements are part of how claims work; logged, they would fill the file.
  log_min_messages: 'log',
  log_checkpoints: 'off',
  log_timezone: 'UTC',
  // %e, the SQLSTATE, lets a start be judged without reading English.
  log_line_prefix: '%m [%p] %e ',
}

/**
 * SQLSTATE lock_file_exists: postmaster.pid is held, or processes of an old postmaster still hold its shared
 * memory.
 */
const LOCK_FILE_EXISTS = / F0001 /

/** How often a file that Postgres writes is looked at while it starts (it takes 20 to 30 ms). */
const GLANCE = 5

export interface Launch {
  readonly dataDirectory: string
  readonly binaries: Binaries
  readonly runner: Runner
  readonly transport: TransportKind
  /** The pid in a leftover `postmaster.pid`, found to be no postgres of this directory. */
  readonly stalePid: number | undefined
}

/**
 * Starts a postmaster in a session of its own, where the signals of our terminal and of npm do not reach it.
 *
 * @returns what it wrote of itself when it accepts connections; undefined when the data directory is still
 * locked
 */
export async function launch(options: Launch, patience: Patience): Promise<PidFile | undefined> {
  const { dataDirectory, binaries, runner, stalePid } = options
  const listening = await chooseListening(dataDirectory, options.transport, runner.account)
  const settings = Object.entries({ ...SETTINGS, ...listening })
  const { file, args, ...account } = runner.run(binaries.postgres, [
    ...['-D', dataDirectory],
    ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ])
  const { log, handle } = await openServerLog(dataDirectory)
  try {
    const child = spawn(file, args, {
      ...account,
      ...(ENVIRONMENT && { env: { ...ENVIRONMENT, ...disownPid(stalePid) } }),
      cwd: parse(dataDirectory).root,
      detached: true,
      stdio: ['ignore', handle.fd, handle.fd],
    })
    child.unref()
    return await whenReady(child, dataDirectory, log, patience)
  } finally {
    await handle.close()
  }
}

/**
 * Postgres takes the pid in a leftover lock file for a live postmaster when any process has it now. It makes
 * an exception for the pid in this variable (pg_ctl names its parent there). Better than deleting the file
 * for it: Postgres still checks the shared memory recorded there for backends that outlived their postmaster,
 * and does the same for the socket's lock file.
 */
function disownPid(pid: number | undefined): NodeJS.ProcessEnv {
  return pid === undefined ? {} : { PG_GRANDPARENT_PID: String(pid) }
}

async function whenReady(
  child: ChildProcess,
  dataDirectory: string,
  log: ServerLog,
  patience: Patience,
): Promise<PidFile | undefined> {
  const ended = once(child, 'exit').then(() => 'ended' as const)
  for (;;) {
    // A child that cannot be spawned emits 'error', which rejects `ended`.
    if ((await Promise.race([ended, sleep(GLANCE)])) === 'ended') break
    const file = await readPidFile(dataDirectory)
    if (file?.pid === child.pid && file?.status === 'ready') return file
    // Recovery after a crash may take minutes, and killing it would only begin it again.
    if (patience.left === 0) await patience.pause('the database is recovering')
  }
  const lines = await lastLines(log)
  if (LOCK_FILE_EXISTS.test(lines)) return undefined
  throw new EmbeddedPostgresError(
    'embedded_postgres_failed',
    `The embedded Postgres ended while starting. The last lines of ${log.path}:\n${lines}`,
  )
}
