import type { Claim } from '../../src/upload/ports.js'
import type { UploadId } from '../../src/upload/upload.js'
import type { Database } from './database.js'
import type { Holdings } from './holdings.js'

/** What running writes have stored so far, recorded without ending their claims. */
export class Progress {
  readonly #database: Database
  readonly #holdings: Holdings
  /** In ms; null: uploads do not expire. */
  readonly #expiration: number | null
  /** When the expiry of an upload was moved last, in the order of time. */
  readonly #touchedAt = new Map<UploadId, number>()

  constructor(database: Database, holdings: Holdings, expiration: number | null) {
    this.#database = database
    this.#holdings = holdings
    this.#expiration = expiration
  }

  async checkpoint(
    progress: readonly { readonly claim: Claim; readonly stop: number }[],
  ): Promise<readonly number[]> {
    const { s } = this.#database
    const tokens = progress.map(({ claim }) => claim.token)
    // Of rows taken over meanwhile the lock finds nothing more: the token fences.
    const held = await this.#database.rows<{ token: string }>(
      'checkpoint',
      `with live as materialized (
         select c.token, c.upload_id, p.stop
         from unnest(?::bigint[], ?::bigint[]) as p(token, stop)
         join ${s}.claims c on c.token = p.token and c.append
         order by c.token for update of c),
       grown as (
         insert into ${s}.received (upload_id, start, stop)
         select upload_id, 0, stop from live where stop > 0 order by upload_id
         on conflict (upload_id, start) do update set stop = greatest(received.stop, excluded.stop))
       select token from live`,
      [tokens, progress.map(({ stop }) => stop)],
    )
    const still = new Set(held.map((row) => Number(row.token)))
    const gone = tokens.filter((token) => !still.has(token))
    for (const token of gone) this.#holdings.yield(token)
    await this.#touch(progress.map(({ claim }) => claim.uploadId))
    return gone
  }

  /**
   * Moves the expiry of uploads under way, seldom: it only matters to one whose server is killed, as a living claim
   * holds expiry off. A statement of its own, because it locks uploads, which claims must not come before.
   */
  async #touch(ids: readonly UploadId[]): Promise<void> {
    if (this.#expiration === null) return
    const now = performance.now()
    const oldest = now - this.#expiration / 16
    for (const [id, at] of this.#touchedAt) {
      // In order of time: the rest is younger.
      if (at > oldest) break
      this.#touchedAt.delete(id)
    }
    const due = ids.filter((id) => !this.#touchedAt.has(id))
    if (due.length === 0) return
    for (const id of due) this.#touchedAt.set(id, now)
    const { s } = this.#database
    await this.#database.rows(
      'touch',
      `with locked as (
         select id from ${s}.uploads where id = any(?::uuid[]) and protocol = 'tus' and status = 'in_progress'
         order by id for no key update)
       update ${s}.uploads u set expires_at = clock_timestamp() + ?::interval from locked where u.id = locked.id`,
      [due, `${this.#expiration} milliseconds`],
    )
  }
}
