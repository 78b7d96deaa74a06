import type { Blob } from '../../src/upload/blob.js'
import type { Database } from './database.js'
import type { NodeLease } from './node-lease.js'

/** What is to go: blobs nothing refers to, and what dead epochs left behind. */
export class Leftovers {
  readonly #database: Database
  readonly #lease: NodeLease

  constructor(database: Database, lease: NodeLease) {
    this.#database = database
    this.#lease = lease
  }

  async unreferencedBlobs(limit: number): Promise<readonly Blob[]> {
    const rows = await this.#database.rows<{ id: string; epoch: string }>(
      'unreferenced',
      `select id, epoch from ${this.#database.s}.blobs where doomed_at is not null order by doomed_at limit ?`,
      [limit],
    )
    return rows.map((row) => ({ id: row.id, epoch: Number(row.epoch) }))
  }

  async forgetBlobs(blobs: readonly Blob[]): Promise<void> {
    const { s } = this.#database
    await this.#database.rows(
      'forget_blobs',
      `delete from ${s}.blobs b where b.id = any(?::uuid[])
         and not exists (select from ${s}.extents e where e.blob_id = b.id)
         and not exists (select from ${s}.assemblies a where a.target = b.id)`,
      [blobs.map((blob) => blob.id)],
    )
  }

  async knownBlobs(epoch: number, ids: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.#database.rows<{ id: string }>(
      'known_blobs',
      `select id from ${this.#database.s}.blobs where epoch = ? and id = any(?::uuid[])`,
      [epoch, ids],
    )
    return new Set(rows.map((row) => row.id))
  }

  async retireEpochs(): Promise<readonly number[]> {
    const { s } = this.#database
    await this.#lease.buryDead()
    // The full row lock waits for those who record under the epoch at this moment, and they see it retired after.
    const rows = await this.#database.rows<{ epoch: string }>(
      'retire_epochs',
      `with lapsed as (
         select epoch from ${s}.nodes where swept_at is null and lease_until <= clock_timestamp()
         order by epoch for update skip locked)
       update ${s}.nodes n set retired_at = coalesce(n.retired_at, clock_timestamp())
       from lapsed where n.epoch = lapsed.epoch returning n.epoch`,
    )
    return rows.map((row) => Number(row.epoch))
  }

  async epochSwept(epoch: number): Promise<void> {
    await this.#database.rows(
      'epoch_swept',
      `update ${this.#database.s}.nodes set swept_at = clock_timestamp() where epoch = ?`,
      [epoch],
    )
  }
}
