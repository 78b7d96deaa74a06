import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CuttingProxy } from './cutting-proxy.js'
import { openDatabaseProxy } from './database-proxy.js'
import { findProgram } from './find-program.js'
import type { DatabaseSettings } from './server-process.js'

/** Only names the socket: its directory is our own. */
const PORT = 6432

/** pgbouncer refuses to be root; any other account will do. */
const NOBODY = 65_534

/** The program, or null where it is not installed. */
export function findPgBouncer(): Promise<string | null> {
  return findProgram('pgbouncer', '--version')
}

/** A pgbouncer in transaction pooling before the database of the run. */
export class PgBouncer {
  /** How clients reach the database through it. */
  readonly database: DatabaseSettings
  /** The same, on sessions that somebody left with `synchronous_commit = off`. */
  readonly careless: DatabaseSettings
  readonly #child: ChildProcess
  readonly #directory: string
  readonly #proxy: CuttingProxy

  private constructor(child: ChildProcess, directory: string, proxy: CuttingProxy) {
    this.#child = child
    this.#directory = directory
    this.#proxy = proxy
    this.database = { host: directory, port: PORT, user: 'anybody', database: 'tributary', ssl: false }
    this.careless = { ...this.database, database: 'careless' }
  }

  /** `ignored` are parameters of the start that it drops instead of refusing the connection. */
  static async start(program: string, ignored = ''): Promise<PgBouncer> {
    const directory = await mkdtemp(join(tmpdir(), 'pgbouncer-'))
    // The database of the run may be on a socket that only we can open.
    const { proxy, database } = await openDatabaseProxy()
    const config = join(directory, 'pgbouncer.ini')
    await writeFile(config, configuration(directory, database, ignored), { mode: 0o600 })
    const root = process.getuid?.() === 0
    if (root) for (const path of [directory, config]) await chown(path, NOBODY, NOBODY)
    const child = spawn(program, [config], {
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(root && { uid: NOBODY, gid: NOBODY }),
    })
    await started(child)
    return new PgBouncer(child, directory, proxy)
  }

  async end(): Promise<void> {
    const exited = once(this.#child, 'close')
    if (this.#child.exitCode === null) {
      this.#child.kill('SIGKILL')
      await exited
    }
    await this.#proxy.close()
    await rm(this.#directory, { recursive: true, force: true })
  }
}

/** Fewer sessions than one node would open, so that its statements wander between them. */
const SESSIONS = 4

function configuration(directory: string, to: DatabaseSettings, ignored: string): string {
  const words = [
    `host=${to.host} port=${to.port} dbname=${quote(to.database)} user=${quote(to.user)}`,
    ...(to.password === undefined ? [] : [`password=${quote(to.password)}`]),
  ].join(' ')
  return `[databases]
tributary = ${words}
careless = ${words} connect_query='set synchronous_commit = off'
[pgbouncer]
listen_port = ${PORT}
unix_socket_dir = ${directory}
auth_type = any
pool_mode = transaction
default_pool_size = ${SESSIONS}
ignore_startup_parameters = ${ignored}
`
}

function quote(value: unknown): string {
  return `'${String(value).replaceAll("'", "''")}'`
}

async function started(child: ChildProcess): Promise<void> {
  let said = ''
  const ready = new Promise<void>((resolve, reject) => {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (/process up/.test(said)) resolve()
    })
    child.once('error', reject)
    child.once('close', () => reject(new Error(`pgbouncer ended:\n${said}`)))
  })
  await ready
}
