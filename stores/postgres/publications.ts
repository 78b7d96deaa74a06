import type { Blob } from '../../src/upload/blob.js'
import type { Placed, Publication, Published, PublishTurn } from '../../src/upload/ports.js'
import type { UploadId } from '../../src/upload/upload.js'
import { type Database, ORPHANED, type Transaction } from './database.js'
import type { NodeLease } from './node-lease.js'
import { Queue } from './queue.js'
import { type PublicationRow, toPublication, toUpload, type UploadRow } from './rows.js'

type TurnAnswer =
  | { readonly outcome: 'ours'; readonly publication: PublicationRow; readonly upload: UploadRow }
  | { readonly outcome: 'elsewhere' }
  | { readonly outcome: 'done' }

type BeginAnswer =
  | { readonly outcome: 'done'; readonly upload: UploadRow; readonly by: number }
  | { readonly outcome: 'place'; readonly holder: PublicationRow | null }

/** Each publishing holds a connection while files are placed, or while it waits for another of the same name. */
const MOST_AT_ONCE = 2

/** Finished files under names for people. */
export class Publications {
  readonly #database: Database
  readonly #lease: NodeLease
  readonly #queue = new Queue(MOST_AT_ONCE)
  /** Uploads whose turn somebody here has. */
  readonly #turns = new Set<UploadId>()

  constructor(database: Database, lease: NodeLease) {
    this.#database = database
    this.#lease = lease
  }

  /** Whoever completed an upload has its turn. */
  taken(id: UploadId): void {
    this.#turns.add(id)
  }

  async take(id: UploadId): Promise<PublishTurn | null> {
    const answer = await this.#lease.living((epoch) =>
      this.#database.value<TurnAnswer | { readonly outcome: 'lapsed' } | null>(
        'take_publication',
        `select ${this.#database.s}.take_publication(?, ?) as value`,
        [id, epoch],
      ),
    )
    if (answer?.outcome !== 'ours') return answer
    this.taken(id)
    return {
      outcome: 'ours',
      publication: toPublication(answer.publication),
      upload: toUpload(answer.upload),
    }
  }

  async publish(
    publication: Publication,
    place: (holder: Publication | null) => Promise<Placed>,
  ): Promise<Published | null> {
    const published = await this.#queue.run(() =>
      this.#database.transaction((transaction) => this.#publish(transaction, publication, place)),
    )
    this.#turns.delete(publication.uploadId)
    return published
  }

  async #publish(
    transaction: Transaction,
    { uploadId, filename }: Publication,
    place: (holder: Publication | null) => Promise<Placed>,
  ): Promise<Published | null> {
    const { s, channel } = this.#database
    await transaction.rows('publish_lock', 'select pg_advisory_xact_lock(hashtextextended(?::text, 0))', [
      `tributary publishes ${s} ${filename}`,
    ])
    const begun = await transaction.value<BeginAnswer | null>(
      'begin_publishing',
      `select ${s}.begin_publishing(?) as value`,
      [uploadId],
    )
    if (begun === null) return null
    // By ourselves: that was this call, and its answer was lost.
    if (begun.outcome === 'done') {
      return { upload: toUpload(begun.upload), first: this.#lease.wasOurs(begun.by) }
    }
    const holder = begun.holder && toPublication(begun.holder)
    const placed = await place(holder)
    const row = await transaction.value<UploadRow>(
      'end_publishing',
      `select ${s}.end_publishing(?, ?, ?, ?, ?, ?, ?) as value`,
      [
        channel,
        uploadId,
        placed.name,
        placed.identity,
        holder?.uploadId ?? null,
        placed.holderName,
        this.#lease.epoch,
      ],
    )
    return { upload: toUpload(row), first: true }
  }

  /** Forgotten first: who leaves works no more, and what cannot be given back now is an orphan. */
  async leave(id: UploadId): Promise<void> {
    const { s, channel } = this.#database
    this.#turns.delete(id)
    await this.#database.rows(
      'leave_publication',
      `with left_over as (
         update ${s}.publications set epoch = null where upload_id = ? and epoch = ? returning upload_id)
       select pg_notify(?, 'handed ' || upload_id) from left_over`,
      [id, this.#lease.epoch, channel],
    )
  }

  /** Those that failed lately come last, so that they keep no other waiting. */
  async unpublished(limit: number): Promise<readonly UploadId[]> {
    const { s } = this.#database
    const rows = await this.#database.rows<{ id: UploadId }>(
      'unpublished',
      `select upload_id as id from ${s}.publications
       where published_at is null and doomed_at is null and (epoch is null or not ${s}.alive(epoch))
       order by taken_at limit ?`,
      [limit],
    )
    return rows.map(({ id }) => id)
  }

  async retracted(limit: number): Promise<readonly Publication[]> {
    const { s } = this.#database
    const rows = await this.#database.rows<{ publication: PublicationRow }>(
      'retracted',
      `select ${s}.describe(p) as publication from ${s}.publications p
       where p.doomed_at is not null order by p.doomed_at limit ?`,
      [limit],
    )
    return rows.map(({ publication }) => toPublication(publication))
  }

  /** One that was given another name meanwhile was not removed, and is left to the sweep. */
  async forget(publications: readonly Publication[]): Promise<void> {
    const { s } = this.#database
    await this.#database.rows(
      'forget_publications',
      `delete from ${s}.publications p using unnest(?::uuid[], ?::text[]) as removed(id, name)
       where p.upload_id = removed.id and p.name = removed.name and p.doomed_at is not null`,
      [publications.map(({ uploadId }) => uploadId), publications.map(({ name }) => name)],
    )
  }

  async release(
    retain: number,
    limit: number,
  ): Promise<{ readonly count: number; readonly unreferenced: readonly Blob[] }> {
    return this.#database.value(
      'release_published',
      `select ${this.#database.s}.release_published(?::interval, ?) as value`,
      [`${retain} milliseconds`, limit],
    )
  }

  /** Gives back turns of this node that nobody here has: an answer was lost, or they could not be given back. */
  async dropOrphans(): Promise<void> {
    const { s, channel } = this.#database
    await this.#database.rows('orphan_publications', orphansSql(s), [
      this.#lease.epoch,
      [...this.#turns],
      channel,
    ])
  }
}

/** Its conditions are those of the index of what is to be published, and its bound is one for all rows. */
export function orphansSql(s: string): string {
  return `with left_over as (
      update ${s}.publications set epoch = null
      where published_at is null and doomed_at is null and taken_at < statement_timestamp() - interval '${ORPHANED}'
        and epoch = ? and upload_id <> all(?::uuid[]) returning upload_id)
    select pg_notify(?, 'handed ' || upload_id) from left_over`
}
