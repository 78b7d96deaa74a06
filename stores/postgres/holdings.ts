import { type Database, ORPHANED } from './database.js'
import type { Signals } from './signals.js'

const POLL_MS = 200

/** The claims this process holds, each with the signal that tells its writer to stop. */
export class Holdings {
  readonly #database: Database
  readonly #signals: Signals
  readonly #held = new Map<number, { readonly stop: AbortController; readonly off: () => void }>()
  #poll: NodeJS.Timeout | null = null

  constructor(database: Database, signals: Signals) {
    this.#database = database
    this.#signals = signals
    signals.on('reconnected', () => void this.#look())
  }

  /** Follows a claim; the signal aborts when somebody asks for it. */
  hold(token: number): AbortSignal {
    const stop = new AbortController()
    const off = this.#signals.on(`yield ${token}`, () => stop.abort())
    this.#held.set(token, { stop, off })
    if (!this.#signals.listening) this.#poll ??= setInterval(() => void this.#look(), POLL_MS).unref()
    return stop.signal
  }

  yield(token: number): void {
    this.#held.get(token)?.stop.abort()
  }

  yieldAll(): void {
    for (const { stop } of this.#held.values()) stop.abort()
  }

  drop(token: number): void {
    this.#held.get(token)?.off()
    this.#held.delete(token)
    if (this.#held.size === 0 && this.#poll !== null) {
      clearInterval(this.#poll)
      this.#poll = null
    }
  }

  /** Hands back claims of this node that nobody here holds: the claim was granted, but its answer was lost. */
  async dropOrphans(epoch: number): Promise<void> {
    const { s, channel } = this.#database
    await this.#database.rows(
      'orphan_claims',
      `with gone as (
         delete from ${s}.claims where epoch = ? and claimed_at < clock_timestamp() - interval '${ORPHANED}'
           and token <> all(?::bigint[]) returning upload_id)
       select pg_notify(?, 'handed ' || upload_id) from gone`,
      [epoch, [...this.#held.keys()], channel],
    )
  }

  /** One statement for all claims of this node: which of them are asked for, or gone? */
  async #look(): Promise<void> {
    const tokens = [...this.#held.keys()]
    if (tokens.length === 0) return
    const { s } = this.#database
    try {
      const rows = await this.#database.rows<{ token: string }>(
        'holdings',
        `select t.token from unnest(?::bigint[]) as t(token) left join ${s}.claims c using (token)
         where c.token is null or c.yield_requested_at is not null`,
        [tokens],
      )
      for (const row of rows) this.yield(Number(row.token))
    } catch {
      // The database is away: the next look, or the lease, decides. Heartbeats log it.
    }
  }
}
