import type { Logger } from '../../src/upload/log.js'
import { type Database, ORPHANED } from './database.js'
import { Lookout } from './lookout.js'
import type { Signals } from './signals.js'

/** The claims this process holds, each with the signal that tells its writer to stop. */
export class Holdings {
  readonly #database: Database
  readonly #log: Logger
  readonly #epoch: () => number
  readonly #held = new Map<number, AbortController>()
  /** Requests for claims under way: what they were granted is not held yet. */
  readonly #coming = new Set<Promise<unknown>>()
  readonly #lookout: Lookout

  /** `epoch` gives the epoch under which this process claims at this moment. */
  constructor(database: Database, signals: Signals, log: Logger, epoch: () => number) {
    this.#database = database
    this.#log = log
    this.#epoch = epoch
    signals.on('yield', (token) => void this.#asked(Number(token)))
    this.#lookout = new Lookout(
      signals,
      () => this.#held.size > 0,
      () => this.#look(),
    )
  }

  /** Runs a request for a claim, which calls `hold` for what it was granted before it settles. */
  async claiming<T>(request: () => Promise<T>): Promise<T> {
    const coming = request()
    this.#coming.add(coming)
    try {
      return await coming
    } finally {
      this.#coming.delete(coming)
    }
  }

  /** Follows a claim; the signal aborts when somebody asks for it. */
  hold(token: number): AbortSignal {
    const stop = new AbortController()
    this.#held.set(token, stop)
    this.#lookout.update()
    return stop.signal
  }

  yield(token: number): void {
    this.#held.get(token)?.abort()
  }

  yieldAll(): void {
    for (const stop of this.#held.values()) stop.abort()
  }

  drop(token: number): void {
    this.#held.delete(token)
    this.#lookout.update()
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

  /**
   * Somebody asks for a claim. One of this epoch's that is not held here is an orphan, and whoever asks shall not have to
   * wait until it is old enough to be dropped: no request that could still bring its answer is under way.
   */
  async #asked(token: number): Promise<void> {
    if (!this.#held.has(token)) await Promise.allSettled([...this.#coming])
    if (this.#held.has(token)) {
      this.yield(token)
      return
    }
    const { s, channel } = this.#database
    try {
      const freed = await this.#database.rows(
        'orphan_claim',
        `with gone as (delete from ${s}.claims where token = ? and epoch = ? returning upload_id)
         select pg_notify(?, 'handed ' || upload_id) from gone`,
        [token, this.#epoch(), channel],
      )
      if (freed.length > 0) this.#log.warn({ token }, 'handed back a claim that nobody here knew of')
    } catch (error) {
      this.#log.debug({ err: error, token }, 'an orphaned claim stays until it is asked for again')
    }
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
