import { isDeepStrictEqual } from 'node:util'
import type { Logger } from '../upload/log.js'
import { pause } from './pause.js'
import { aborted } from './stop-signals.js'

/** A database that runs beside the server and may die. */
export interface SideDatabase {
  readonly connection: object
  stop(): Promise<void>
  /** Resolves only when it is gone without `stop`. */
  readonly died: Promise<Error>
}

/** Pauses before each attempt to start it again, in ms: together longer than a crash recovery usually takes. */
const PAUSES = [0, 500, 1_000, 2_000, 4_000, 8_000]

/** A database that lived this long starts with all attempts again. */
const SETTLED_MS = 60_000

/**
 * Starts a side database again when it dies. Ending the server instead would be simpler, but `npm start` has no
 * supervisor that would bring it back, and everything above the database already waits for one that is away. It must
 * come back at the same address, because pools and listeners remember it; otherwise, or after too many attempts,
 * `lost` resolves and the server is to end.
 */
export class SupervisedDatabase<Database extends SideDatabase> {
  readonly #start: () => Promise<Database>
  readonly #log: Logger
  readonly #stopping = new AbortController()
  #database: Database
  #watching: Promise<void>
  #lose: (error: Error) => void = () => undefined
  readonly lost: Promise<Error>

  private constructor(database: Database, start: () => Promise<Database>, log: Logger) {
    this.#start = start
    this.#log = log
    this.#database = database
    this.lost = new Promise((resolve) => {
      this.#lose = resolve
    })
    this.#watching = this.#watch()
  }

  static async start<Database extends SideDatabase>(
    start: () => Promise<Database>,
    log: Logger,
  ): Promise<SupervisedDatabase<Database>> {
    return new SupervisedDatabase(await start(), start, log)
  }

  get connection(): Database['connection'] {
    return this.#database.connection
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#watching
    await this.#database.stop()
  }

  async #watch(): Promise<void> {
    const stopped = aborted(this.#stopping.signal)
    for (let attempts = 0; ; ) {
      const began = performance.now()
      const error = await Promise.race([this.#database.died, stopped])
      if (error === undefined) return
      if (performance.now() - began > SETTLED_MS) attempts = 0
      this.#log.error({ err: error }, 'the embedded database is gone; starting it again')
      const used = await this.#startAgain(attempts)
      if (used === null) return
      attempts = used
    }
  }

  /** Counts the attempts used; null when the watch is over. */
  async #startAgain(used: number): Promise<number | null> {
    const before = this.#database.connection
    for (let attempt = used; attempt < PAUSES.length; attempt++) {
      if (!(await pause(PAUSES[attempt] ?? 0, this.#stopping.signal))) return null
      try {
        this.#database = await this.#start()
      } catch (error) {
        this.#log.warn({ err: error }, 'the embedded database could not be started again yet')
        continue
      }
      if (!isDeepStrictEqual(this.#database.connection, before)) {
        this.#lose(new Error('The embedded database came back at another address.'))
        return null
      }
      this.#log.info({}, 'the embedded database runs again')
      return attempt + 1
    }
    this.#lose(new Error('The embedded database died and could not be started again.'))
    return null
  }
}
