import { randomUUID } from 'node:crypto'
import type { Blob, Extent } from '../../src/upload/blob.js'
import type { Prefix } from '../../src/upload/ports.js'
import type { UploadId } from '../../src/upload/upload.js'
import type { Database } from './database.js'
import type { NodeLease } from './node-lease.js'
import { type ExtentRow, toExtent } from './rows.js'

/** Where the bytes of uploads lie. */
export class Contents {
  readonly #database: Database
  readonly #lease: NodeLease

  constructor(database: Database, lease: NodeLease) {
    this.#database = database
    this.#lease = lease
  }

  async extents(id: UploadId, owner: string | null): Promise<readonly Extent[] | null> {
    const { s } = this.#database
    const [row] = await this.#database.rows<{ extents: ExtentRow[] }>(
      'extents',
      `select ${s}.extents_between(u.id, 0, u.length) as extents from ${s}.uploads u
       where u.id = ? and u.owner is not distinct from ?::text and ${s}.status_now(u) = 'complete'`,
      [id, owner],
    )
    return row ? row.extents.map(toExtent) : null
  }

  async prefix(id: UploadId): Promise<Prefix | null> {
    const { s } = this.#database
    const [row] = await this.#database.rows<{ stop: string; extents: ExtentRow[] }>(
      'prefix',
      `select p.stop, ${s}.extents_between(p.id, 0, p.stop) as extents
       from (select u.id, (${s}.describe(u)->>'offset')::bigint as stop from ${s}.uploads u
             where u.id = ? and ${s}.status_now(u) <> 'expired' and not exists (
               select from ${s}.publications where upload_id = u.id and released_at is not null)) p`,
      [id],
    )
    return row ? { stop: Number(row.stop), extents: row.extents.map(toExtent) } : null
  }

  async forgetLost(id: UploadId, blob: Blob): Promise<boolean> {
    const { s, channel } = this.#database
    const { outcome } = await this.#lease.living((epoch) =>
      this.#database.value<{ readonly outcome: 'forgotten' | 'nothing' } | { readonly outcome: 'lapsed' }>(
        'forget_lost',
        `select ${s}.forget_lost(?, ?, ?, ?, ?) as value`,
        [channel, id, blob.id, epoch, randomUUID()],
      ),
    )
    return outcome === 'forgotten'
  }
}
