import type { Digest, DigestAlgorithm } from '../../src/upload/digest.js'
import type { DigestTurn } from '../../src/upload/ports.js'
import type { UploadId } from '../../src/upload/upload.js'
import { type Database, ORPHANED } from './database.js'
import type { NodeLease } from './node-lease.js'
import type { Signals } from './signals.js'

type TurnAnswer =
  | { readonly outcome: 'known'; readonly bytes: string }
  | { readonly outcome: 'ours'; readonly token: number }
  | { readonly outcome: 'elsewhere' }

/**
 * Who failed to note a digest tries that again, or says nothing more: it has its turn for so long after each failure,
 * in ms. That is longer than until the next one, with a connection and an answer that are waited for in vain.
 */
const TRIED_AGAIN_MS = 30_000

/** Digests of whole contents: what is known, and whose turn it is to work one out. */
export class Digests {
  readonly #database: Database
  readonly #lease: NodeLease
  readonly #signals: Signals
  /** Tokens of the turns somebody here has, each with when it ends by itself, by `performance.now()`. */
  readonly #turns = new Map<number, number>()

  constructor(database: Database, lease: NodeLease, signals: Signals) {
    this.#database = database
    this.#lease = lease
    this.#signals = signals
  }

  onWanted(listener: (id: UploadId) => void): () => void {
    return this.#signals.on('digest', listener)
  }

  async take(id: UploadId, algorithm: DigestAlgorithm): Promise<DigestTurn | null> {
    const answer = await this.#lease.living((epoch) =>
      this.#database.value<TurnAnswer | { readonly outcome: 'lapsed' } | null>(
        'take_digest',
        `select ${this.#database.s}.take_digest(?, ?, ?, ?) as value`,
        [this.#database.channel, id, algorithm, epoch],
      ),
    )
    if (answer?.outcome === 'ours') this.#turns.set(answer.token, Number.POSITIVE_INFINITY)
    if (answer?.outcome !== 'known') return answer
    return { outcome: 'known', digest: { algorithm, bytes: Buffer.from(answer.bytes, 'hex') } }
  }

  /** Forgotten at once it would be an orphan's between two attempts, and all of the content be hashed again. */
  async note(id: UploadId, token: number, digest: Digest): Promise<boolean> {
    try {
      const noted = await this.#note(id, token, digest)
      this.#turns.delete(token)
      return noted
    } catch (error) {
      this.#turns.set(token, performance.now() + TRIED_AGAIN_MS)
      throw error
    }
  }

  /** The row goes when the content changes; what is said twice is true twice. */
  async #note(id: UploadId, token: number, digest: Digest): Promise<boolean> {
    const { s, channel } = this.#database
    const noted = await this.#database.rows(
      'note_digest',
      `with noted as (
         update ${s}.digests set bytes = ?, epoch = null
         where upload_id = ? and algorithm = ? and token = ? and (bytes is null or bytes = ?) returning upload_id)
       select pg_notify(?, 'handed ' || upload_id) from noted`,
      [digest.bytes, id, digest.algorithm, token, digest.bytes, channel],
    )
    return noted.length > 0
  }

  /** Forgotten first: who leaves works no more, and what cannot be given back now is an orphan. */
  async leave(id: UploadId, token: number): Promise<void> {
    const { s, channel } = this.#database
    this.#turns.delete(token)
    await this.#database.rows(
      'leave_digest',
      `with gone as (
         delete from ${s}.digests where upload_id = ? and token = ? and bytes is null returning upload_id)
       select pg_notify(?, 'handed ' || upload_id) from gone`,
      [id, token, channel],
    )
  }

  /** Gives back turns of this node that nobody here has: an answer was lost, or they could not be given back. */
  async dropOrphans(): Promise<void> {
    const { s, channel } = this.#database
    const now = performance.now()
    for (const [token, end] of this.#turns) if (end < now) this.#turns.delete(token)
    const held = [...this.#turns.keys()]
    const rows = await this.#database.rows<{ token: string | null }>(
      'orphan_digests',
      `with gone as (
         delete from ${s}.digests where epoch = ? and bytes is null and token <> all(?::bigint[])
           and taken_at < clock_timestamp() - interval '${ORPHANED}' returning upload_id),
       told as materialized (select pg_notify(?, 'handed ' || upload_id) from gone),
       kept as (select t.token from unnest(?::bigint[]) as t(token)
                where exists (select from ${s}.digests d where d.epoch = ? and d.token = t.token))
       select null as token from told union all select token from kept`,
      [this.#lease.epoch, held, channel, held, this.#lease.epoch],
    )
    // Turns that ended without a word here: noted with the completion, or gone with the content.
    const kept = new Set(rows.flatMap(({ token }) => (token === null ? [] : [Number(token)])))
    for (const token of held) if (!kept.has(token)) this.#turns.delete(token)
  }
}
