import { type Database, ORPHANED } from './database.js'
import { Lookout } from './lookout.js'
import type { Signals } from './signals.js'

/** The locks this process has, each with what tells its holder to stop. */
export class HeldLocks {
  readonly #database: Database
  readonly #held = new Map<string, () => void>()
  readonly #lookout: Lookout

  constructor(database: Database, signals: Signals) {
    this.#database = database
    signals.on('yield-lock', (token) => this.#held.get(token)?.())
    this.#lookout = new Lookout(
      signals,
      () => this.#held.size > 0,
      () => this.#look(),
    )
  }

  /** Follows a lock; `stop` is called when somebody waits for it, perhaps more than once. */
  hold(token: string, stop: () => void): void {
    this.#held.set(token, stop)
    this.#lookout.update()
  }

  drop(token: string): void {
    this.#held.delete(token)
    this.#lookout.update()
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

  /** One statement for all locks of this node: which of them are asked for? */
  async #look(): Promise<void> {
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
