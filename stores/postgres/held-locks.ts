import { type Database, ORPHANED } from './database.js'
import type { Signals } from './signals.js'

const POLL_MS = 200

/** The locks this process has, each with what tells its holder to stop. */
export class HeldLocks {
  readonly #database: Database
  readonly #signals: Signals
  readonly #held = new Map<string, () => void>()
  #timer: NodeJS.Timeout | null = null
  #looking: Promise<void> | null = null

  constructor(database: Database, signals: Signals) {
    this.#database = database
    this.#signals = signals
    signals.on('yield-lock', (token) => this.#held.get(token)?.())
    signals.on('lost', () => this.#poll())
    // What was asked for between the last look and the first message.
    signals.on('reconnected', () => this.#look())
  }

  /** Follows a lock; `stop` is called when somebody waits for it, perhaps more than once. */
  hold(token: string, stop: () => void): void {
    this.#held.set(token, stop)
    if (!this.#signals.listening) this.#poll()
  }

  drop(token: string): void {
    this.#held.delete(token)
    if (this.#held.size === 0) this.#stopPolling()
  }

  stopAll(): void {
    for (const stop of this.#held.values()) stop()
  }

  /** Ends locks of this node that nobody here has: their answer was lost on its way. */
  async dropOrphans(epoch: number): Promise<void> {
    const { s } = this.#database
    await this.#database.rows(
      'orphan_locks',
      `delete from ${s}.locks where epoch = ? and locked_at < clock_timestamp() - interval '${ORPHANED}'
         and token <> all(?::bigint[])`,
      [epoch, [...this.#held.keys()]],
    )
  }

  /** Looks for itself as long as no messages come, and there is something to look for. */
  #poll(): void {
    if (this.#held.size === 0) return
    this.#timer ??= setInterval(() => {
      if (this.#signals.listening) this.#stopPolling()
      else this.#look()
    }, POLL_MS).unref()
  }

  #stopPolling(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  /** One look at a time: what is lost is often the database, and with it their answers. */
  #look(): void {
    this.#looking ??= this.#tellAsked().finally(() => {
      this.#looking = null
    })
  }

  /** One statement for all locks of this node: which of them are asked for? */
  async #tellAsked(): Promise<void> {
    const tokens = [...this.#held.keys()]
    if (tokens.length === 0) return
    const { s } = this.#database
    try {
      const rows = await this.#database.rows<{ token: string }>(
        'locks_asked',
        `select token from ${s}.locks where token = any(?::bigint[]) and yield_requested_at is not null`,
        [tokens],
      )
      for (const { token } of rows) this.#held.get(token)?.()
    } catch {
      // The database is away: the next look, or the lease, decides. Heartbeats log it.
    }
  }
}
