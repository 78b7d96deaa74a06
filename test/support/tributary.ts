import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inject, onTestFinished } from 'vitest'
import { connect } from '../../stores/postgres/database.js'
import { builtDist } from './built.js'
import { scratchDirectory } from './embedded-scratch.js'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Of our own environment, what a process needs to run at all; settings must come from the test alone. */
const KEPT = ['PATH', 'HOME', 'USER', 'TMPDIR', 'LANG', 'SystemRoot']

export interface TributaryOptions {
  /** Settings. `PORT` is 0 and `DATA_DIR` a directory of the test's own unless given. */
  readonly env?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  /** `npm` runs `npm start`; a path is another node to run ours with. Default: this node. */
  readonly through?: 'npm' | { readonly node: string }
  /** True: it leads a process group of its own, as in a terminal. */
  readonly leadsGroup?: boolean
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The command as a process. */
export class Tributary {
  readonly child: ChildProcess
  readonly dataDir: string
  readonly exited: Promise<Exit>
  stdout = ''
  stderr = ''

  constructor(child: ChildProcess, dataDir: string) {
    this.child = child
    this.dataDir = dataDir
    if (child.stdout === null || child.stderr === null) throw new Error('The process has no output.')
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.exited = once(child, 'close').then(([code, signal]) => ({ code, signal }) as Exit)
  }

  /** Of the tus endpoint, as printed. */
  get url(): string {
    const url = /^Tributary is ready at (\S+)$/m.exec(this.stdout)?.[1]
    if (url === undefined) throw new Error(`Not ready:\n${this.stdout}${this.stderr}`)
    return url
  }

  get origin(): string {
    return new URL(this.url).origin
  }

  get port(): number {
    return Number(new URL(this.url).port)
  }

  /** Resolves once the port is open; rejects with what was printed when the process ends instead. */
  async ready(): Promise<this> {
    while (!this.stdout.includes('Tributary is ready at ')) {
      const more = this.child.stdout === null ? null : once(this.child.stdout, 'data')
      const ended = await Promise.race([more?.then(() => null), this.exited])
      if (ended) throw new Error(`Ended with ${JSON.stringify(ended)}:\n${this.stdout}${this.stderr}`)
    }
    return this
  }

  /** Lines of the log, as objects. */
  get log(): readonly Record<string, unknown>[] {
    const lines = this.stderr.split('\n').filter((line) => line.startsWith('{'))
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  async end(signal: NodeJS.Signals): Promise<Exit> {
    this.child.kill(signal)
    return this.exited
  }
}

/** Starts `tributary <args>`; what still runs when the test is over is killed. */
export async function spawnTributary(options: TributaryOptions = {}): Promise<Tributary> {
  const dist = await builtDist()
  const kept = Object.fromEntries(
    KEPT.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
  )
  const env = {
    ...kept,
    PORT: '0',
    DATA_DIR: options.env?.DATA_DIR ?? (await scratchDirectory()),
    ...options.env,
  }
  const node = typeof options.through === 'object' ? options.through.node : process.execPath
  const [command, args] =
    options.through === 'npm'
      ? ['npm', ['start', ...(options.args?.length ? ['--', ...options.args] : [])]]
      : [node, [join(dist, 'src', 'main.js'), ...(options.args ?? ['serve'])]]
  const tributary = new Tributary(
    spawn(command, args, {
      cwd: ROOT,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: options.leadsGroup ?? false,
    }),
    env.DATA_DIR,
  )
  onTestFinished(async () => {
    tributary.child.kill('SIGKILL')
    await tributary.exited
  })
  return tributary
}

/** Starts the server and waits until it is ready. */
export async function startTributary(options: TributaryOptions = {}): Promise<Tributary> {
  return (await spawnTributary(options)).ready()
}

/** Settings that lead to the database of this test run, and a schema in it that goes away with the test. */
export function sharedDatabase(): { readonly DATABASE_URL: string; readonly DATABASE_SCHEMA: string } {
  const connection = inject('database')
  const schema = `t_${randomBytes(6).toString('hex')}`
  onTestFinished(async () => {
    const knex = connect(connection, 1)
    await knex.raw(`drop schema if exists "${schema}" cascade`)
    await knex.destroy()
  })
  return { DATABASE_URL: urlOf(connection), DATABASE_SCHEMA: schema }
}

/** Everything as parameters: a host that is a directory has no place before the path. */
function urlOf(connection: string | Readonly<Record<string, string | number | boolean>>): string {
  if (typeof connection === 'string') return connection
  const { database, ...rest } = connection
  const parameters = new URLSearchParams(
    Object.entries(rest).map(([name, value]): [string, string] => [name, String(value)]),
  )
  parameters.delete('ssl')
  return `postgres:///${database}?${parameters}&sslmode=disable`
}
