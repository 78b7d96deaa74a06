import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { builtDist } from './built.js'

const READY = /^Tributary is ready at (http:\/\/\S+)$/m

/** A start with an embedded database makes one, as root in a namespace of its own; two at once on two cores take long. */
const START_MS = 45_000

const FROZEN_LOOK_MS = 5

export interface ServerSettings {
  readonly dataDir: string
  /** How to reach the database; `embedded`: the server runs its own. */
  readonly database: DatabaseSettings | string | 'embedded'
  /** Default: the server's own default. */
  readonly schema?: string
  /** More settings, by the names of their variables. */
  readonly env?: Readonly<Record<string, string>>
}

/** pg's settings, as `inject('database')` and the embedded database give them. */
export type DatabaseSettings = Readonly<Record<string, unknown>>

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The server as its users run it: the built command in a process of its own. */
export class ServerProcess {
  readonly #child: ChildProcess
  #output = ''
  #endpoint = ''
  /** Resolves when the process is gone and all it printed was read. */
  readonly exited: Promise<Exit>

  private constructor(child: ChildProcess) {
    this.#child = child
    this.exited = once(child, 'close').then(([code, signal]) => ({ code, signal }))
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text
      })
    }
  }

  /** Resolves when the server says that it is ready. */
  static async start(settings: ServerSettings): Promise<ServerProcess> {
    const main = join(await builtDist(), 'src', 'main.js')
    const child = spawn(process.execPath, [main, 'serve'], {
      cwd: settings.dataDir,
      env: environment(settings),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const server = new ServerProcess(child)
    try {
      server.#endpoint = await server.#ready()
      return server
    } catch (error) {
      await server.end()
      throw error
    }
  }

  /** Where uploads are created. */
  get endpoint(): string {
    return this.#endpoint
  }

  get port(): number {
    return Number(new URL(this.#endpoint).port)
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the server was not started')
    return this.#child.pid
  }

  /** All it has printed, logs included. For people who look at a failed test. */
  get output(): string {
    return this.#output
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Sends SIGTERM and waits for the end. */
  async stop(): Promise<Exit> {
    this.#child.kill('SIGTERM')
    return this.exited
  }

  async kill(): Promise<Exit> {
    this.#child.kill('SIGKILL')
    return this.exited
  }

  /** Resolves when not one more instruction of the process is carried out. */
  async freeze(): Promise<void> {
    this.#child.kill('SIGSTOP')
    while (!(await isStopped(this.pid))) await sleep(FROZEN_LOOK_MS)
  }

  thaw(): void {
    this.#child.kill('SIGCONT')
  }

  /** For the end of a test, in whatever state it left the process. */
  async end(): Promise<void> {
    if (this.isRunning) this.#child.kill('SIGKILL')
    await this.exited
  }

  async #ready(): Promise<string> {
    const late = AbortSignal.timeout(START_MS)
    const ended = this.exited.then((exit) => {
      throw new Error(`the server ended (${exit.signal ?? exit.code}) before it was ready:\n${this.#output}`)
    })
    ended.catch(() => undefined)
    for (;;) {
      const endpoint = READY.exec(this.#output)?.[1]
      if (endpoint !== undefined) return endpoint
      if (this.#child.stdout === null) throw new Error('the output of the server is not captured')
      await Promise.race([once(this.#child.stdout, 'data', { signal: late }), ended]).catch(
        (error: unknown) => {
          if (!late.aborted) throw error
          throw new Error(`the server was not ready after ${START_MS} ms:\n${this.#output}`, { cause: error })
        },
      )
    }
  }
}

/** A URL for settings of pg; a directory of Unix sockets becomes its host. */
export function databaseUrl(settings: DatabaseSettings | string): string {
  if (typeof settings === 'string') return settings
  const { host = 'localhost', port = 5432, user = '', password, database = '', ssl } = settings
  const account = [user, password].filter((part) => part !== undefined).map((part) => encode(part))
  const query = ssl === false ? '?sslmode=disable' : ''
  return `postgres://${account.join(':')}@${encode(host)}:${String(port)}/${encode(database)}${query}`
}

function encode(part: unknown): string {
  return encodeURIComponent(String(part))
}

/** Nothing of our own environment that could be a setting, such as a DATABASE_URL somebody exported. */
function environment({ dataDir, database, schema, env }: ServerSettings): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR, TZ, LANG } = process.env
  return {
    ...{ PATH, HOME, TMPDIR, TZ, LANG },
    ...{ HOST: '127.0.0.1', PORT: '0', DATA_DIR: dataDir },
    ...(database !== 'embedded' && { DATABASE_URL: databaseUrl(database) }),
    ...(schema !== undefined && { DATABASE_SCHEMA: schema }),
    ...env,
  }
}

/** `ps` is the same everywhere; T is stopped. */
async function isStopped(pid: number): Promise<boolean> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'stat=', '-p', String(pid)])
  return stdout.trim().startsWith('T')
}
