import type { Blob } from '../../src/upload/blob.js'
import type {
  Closed,
  NewSegment,
  Segment,
  SegmentLedger,
  SegmentPart,
  SegmentState,
  Subject,
} from '../../src/upload/segment.js'
import { lost } from './claim-answer.js'
import type { Database } from './database.js'

interface SegmentRow {
  readonly id: string
  readonly blob_id: string
  readonly blob_epoch: string | number
  readonly writer: string | number
  readonly start: string | number
  readonly stop: string | number | null
  readonly upload_id: string | null
  readonly part_bytes: string | number | null
  readonly state: SegmentState
  readonly alive: boolean
}

/** Where the bytes of blobs lie, in tables beside those of the uploads. */
export class PostgresSegments implements SegmentLedger {
  readonly #database: Database

  constructor(database: Database) {
    this.#database = database
  }

  async subject(blob: Blob): Promise<Subject | null> {
    const { s } = this.#database
    const [row] = await this.#database.rows<Subject>(
      'segment_subject',
      `select u.filename, u.metadata from ${s}.uploads u
       where u.id in (select upload_id from ${s}.extents where blob_id = ?
                      union all select upload_id from ${s}.assemblies where target = ?)
       order by u.kind = 'partial' limit 1`,
      [blob.id, blob.id],
    )
    return row ?? null
  }

  async deployment(): Promise<string> {
    const [row] = await this.#database.rows<{ id: string }>(
      'deployment',
      `select id from ${this.#database.s}.deployment`,
    )
    if (row === undefined) throw new Error('the schema has no deployment')
    return row.id
  }

  async add(segment: NewSegment): Promise<readonly Segment[]> {
    const { id, blob, writer, start, stop, uploadId, partBytes } = segment
    const rows = await this.#database.value<SegmentRow[] | null>(
      'add_segment',
      `select ${this.#database.s}.add_segment(?, ?, ?, ?, ?, ?, ?, ?) as value`,
      [id, blob.id, blob.epoch, writer, start, stop, uploadId, partBytes],
    )
    if (rows === null) throw lost()
    return rows.map(toSegment)
  }

  async addPart(id: string, { number, bytes, etag, checksum }: SegmentPart): Promise<boolean> {
    const { s } = this.#database
    // In share, so that whoever closes it waits for this part, or this part for him.
    const rows = await this.#database.rows(
      'add_segment_part',
      `with open as (select id from ${s}.segments where id = ? and state = 'open' for share)
       insert into ${s}.segment_parts (segment_id, number, bytes, etag, checksum)
       select id, ?::int, ?::bigint, ?::text, ?::text from open
       on conflict (segment_id, number) do update set etag = excluded.etag, checksum = excluded.checksum
       returning number`,
      [id, number, bytes, etag, checksum],
    )
    return rows.length > 0
  }

  async parts(id: string): Promise<readonly SegmentPart[]> {
    const rows = await this.#database.rows<SegmentPart & { readonly bytes: string }>(
      'segment_parts',
      `select number, bytes, etag, checksum from ${this.#database.s}.segment_parts where segment_id = ? order by number`,
      [id],
    )
    return rows.map((row) => ({ ...row, bytes: Number(row.bytes) }))
  }

  close(id: string): Promise<Closed | null> {
    return this.#database.value<Closed | null>(
      'close_segment',
      `select ${this.#database.s}.close_segment(?) as value`,
      [id],
    )
  }

  async seal(id: string): Promise<readonly Segment[]> {
    const rows = await this.#database.value<SegmentRow[]>(
      'seal_segment',
      `select ${this.#database.s}.seal_segment(?) as value`,
      [id],
    )
    return rows.map(toSegment)
  }

  async within(blob: Blob, start: number, stop: number): Promise<readonly Segment[]> {
    const rows = await this.#database.rows<SegmentRow>(
      'segments_within',
      `${this.#select} where blob_id = ? and state <> 'doomed' and start < ? and coalesce(stop > ?, true)
       order by born desc`,
      [blob.id, stop, start],
    )
    return rows.map(toSegment)
  }

  async has(blob: Blob): Promise<boolean> {
    const rows = await this.#database.rows(
      'segments_has',
      `select from ${this.#database.s}.segments where blob_id = ? and state <> 'doomed' limit 1`,
      [blob.id],
    )
    return rows.length > 0
  }

  async all(blob: Blob): Promise<readonly Segment[]> {
    const rows = await this.#database.rows<SegmentRow>('segments_of', `${this.#select} where blob_id = ?`, [
      blob.id,
    ])
    return rows.map(toSegment)
  }

  async writtenBy(epoch: number, after: string | null, limit: number): Promise<readonly Segment[]> {
    const { s } = this.#database
    const rows = await this.#database.rows<SegmentRow>(
      'segments_written_by',
      `${this.#select} where writer = ? and (?::uuid is null or id > ?)
         and not exists (select from ${s}.assemblies where target = blob_id) order by id limit ?`,
      [epoch, after, after, limit],
    )
    return rows.map(toSegment)
  }

  async abandoned(ids: readonly string[]): Promise<ReadonlySet<string>> {
    const { s } = this.#database
    // Blobs get their rows from nodes of their own epoch: once that has ended, none will come.
    const rows = await this.#database.rows<{ id: string }>(
      'abandoned_segments',
      `select g.id from ${s}.segments g
       where g.id = any(?::uuid[]) and not exists (select from ${s}.blobs b where b.id = g.blob_id)
         and not exists (select from ${s}.nodes n where n.epoch = g.blob_epoch and n.retired_at is null)`,
      [ids],
    )
    return new Set(rows.map(({ id }) => id))
  }

  async forget(ids: readonly string[]): Promise<void> {
    await this.#database.rows(
      'forget_segments',
      `delete from ${this.#database.s}.segments where id = any(?::uuid[])`,
      [ids],
    )
  }

  async known(ids: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.#database.rows<{ id: string }>(
      'known_segments',
      `select id from ${this.#database.s}.segments where id = any(?::uuid[])`,
      [ids],
    )
    return new Set(rows.map(({ id }) => id))
  }

  get #select(): string {
    const { s } = this.#database
    return `select id, blob_id, blob_epoch, writer, start, stop, upload_id, part_bytes, state, ${s}.alive(writer) as alive
      from ${s}.segments`
  }
}

function toSegment(row: SegmentRow): Segment {
  return {
    id: row.id,
    blob: { id: row.blob_id, epoch: Number(row.blob_epoch) },
    writer: Number(row.writer),
    start: Number(row.start),
    stop: row.stop === null ? null : Number(row.stop),
    uploadId: row.upload_id,
    partBytes: row.part_bytes === null ? null : Number(row.part_bytes),
    state: row.state,
    alive: row.alive,
  }
}
