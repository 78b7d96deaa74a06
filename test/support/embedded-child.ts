import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { EmbeddedConditions, EmbeddedPostgres } from '../../stores/postgres/embedded.js'

const SCRIPT = fileURLToPath(new URL('embedded-server.mjs', import.meta.url))

export interface ChildEvent {
  readonly event: 'log' | 'started' | 'failed' | 'died' | 'stopped'
  readonly message: string
  readonly code: string
  readonly pid: number
  readonly connection: EmbeddedPostgres['connection']
  readonly milliseconds: number
}

export interface ChildOptions {
  /** A build of ours: `dist` of this checkout or of a copy. */
  readonly dist: string
  readonly directory: string
  readonly conditions?: EmbeddedConditions
  /** false: nothing but the database itself could keep the process alive. Default: true. */
  readonly linger?: boolean
  readonly spawn?: SpawnOptions
  /** A command that executes the command given to it as arguments. */
  readonly through?: readonly string[]
  /** A script the user of the process can read; default: the one beside this file. */
  readonly script?: string
}

/** A node process that owns, or tries to own, an embedded Postgres. */
export class EmbeddedChild {
  readonly process: ChildProcess
  readonly exited: Promise<unknown>
  readonly #events: ChildEvent[] = []
  readonly #bell = new EventEmitter()
  #stderr = ''

  constructor({ dist, directory, conditions, linger = true, through = [], ...how }: ChildOptions) {
    const argument = JSON.stringify({ options: { directory }, conditions, linger })
    const embedded = join(dist, 'stores', 'postgres', 'embedded.js')
    const command = [...through, process.execPath, how.script ?? SCRIPT, embedded, argument]
    this.process = spawn(command[0] ?? process.execPath, command.slice(1), {
      ...how.spawn,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.exited = once(this.process, 'close').then(() => this.#bell.emit('ring'))
    if (!this.process.stdout || !this.process.stderr) throw new Error('the child has no output')
    this.process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      this.#events.push(JSON.parse(line))
      this.#bell.emit('ring')
    })
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error('the child did not start')
    return this.process.pid
  }

  /** Resolves with the first event of one of these names, be it past or to come. */
  async event(...names: ChildEvent['event'][]): Promise<ChildEvent> {
    for (;;) {
      const found = this.#events.find(({ event }) => names.includes(event))
      if (found) return found
      if (this.process.exitCode !== null || this.process.signalCode !== null) {
        throw new Error(`no ${names.join('/')}: ${JSON.stringify(this.#events)} ${this.#stderr}`)
      }
      await once(this.#bell, 'ring')
    }
  }

  async started(): Promise<ChildEvent> {
    const event = await this.event('started', 'failed')
    if (event.event === 'failed') throw new Error(event.message)
    return event
  }

  /** A line on its stdin. */
  write(line: string): void {
    this.process.stdin?.write(`${line}\n`)
  }

  async stop(): Promise<void> {
    this.write('stop')
    await this.event('stopped')
    await this.exited
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL')
    await this.exited
  }
}
