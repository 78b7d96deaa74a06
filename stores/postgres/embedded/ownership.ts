import { setTimeout as sleep } from 'node:timers/promises'
import { EmbeddedPostgresError, inUse } from './error.js'
import { type OwnerLock, tryOwnerLock } from './owner-lock.js'
import { isPostgresOf } from './process-table.js'
import { lastLines, logPath } from './server-log.js'
import type { Connection } from './transport.js'

const RETRY_MS = 50

export interface Owned {
  readonly connection: Connection
  readonly dataDirectory: string
  readonly pid: number
  readonly tag: string
  readonly log: (message: string, facts?: object) => void
}

/** Keeps the owner lock for as long as the postmaster lives, and notices when it does not. */
export class Ownership {
  /** Resolves when the postmaster, or our right to it, is gone without `end`. */
  readonly lost: Promise<Error>
  readonly #owned: Owned
  #lock: OwnerLock
  #state: 'held' | 'lost' | 'ended' = 'held'

  constructor(owned: Owned, lock: OwnerLock) {
    this.#owned = owned
    this.#lock = lock
    this.lost = this.#watch()
  }

  /** False when somebody else owns the postmaster by now. */
  get held(): boolean {
    return this.#state !== 'lost'
  }

  /** From now on the end of the postmaster is expected. */
  expectEnd(): void {
    if (this.#state === 'held') this.#state = 'ended'
  }

  async release(): Promise<void> {
    await this.#lock.release()
  }

  async #watch(): Promise<Error> {
    for (;;) {
      await this.#lock.lost
      if (this.#state === 'held')
        this.#owned.log('the lock on the embedded database is lost; taking it again')
      const trouble = await this.#takeAgain()
      if (trouble === undefined) continue
      // Ended on purpose: nobody is told.
      if (trouble === 'ended') return new Promise<never>(() => undefined)
      this.#state = 'lost'
      return trouble
    }
  }

  /**
   * The lock's connection ended: was it alone (an administrator, pg_terminate_backend), or did Postgres end?
   */
  async #takeAgain(): Promise<Error | 'ended' | undefined> {
    const { connection, dataDirectory, pid, tag } = this.#owned
    for (;;) {
      if (this.#state === 'ended') return 'ended'
      try {
        if (!(await isPostgresOf(pid, dataDirectory))) return await this.#postmasterDied()
        const attempt = await tryOwnerLock(connection, tag)
        if ('lock' in attempt) {
          this.#lock = attempt.lock
          return undefined
        }
        // Our own tag: the backend that was terminated has not let go yet.
        if (attempt.holder && attempt.holder.tag !== tag) return inUse(attempt.holder.pid)
      } catch {
        // It refuses connections while it shuts down or recovers, and is asked until either is over. Our own
        // passing troubles, such as no file descriptor left, are no proof of its death.
      }
      await sleep(RETRY_MS, undefined, { ref: false })
    }
  }

  async #postmasterDied(): Promise<Error | 'ended'> {
    const { dataDirectory, pid } = this.#owned
    const lines = await lastLines({ path: logPath(dataDirectory), start: 0 })
    if (this.#state === 'ended') return 'ended'
    return new EmbeddedPostgresError(
      'embedded_postgres_died',
      `The embedded Postgres (pid ${pid}) ended unexpectedly. The last lines of its log:\n${lines}`,
    )
  }
}
