import type { Blob } from '../../src/upload/blob.js'
import type { UploadDraft } from '../../src/upload/ports.js'
import type { Upload, UploadProtocol } from '../../src/upload/upload.js'
import type { Database, Transaction } from './database.js'
import { milliseconds, toUpload, type UploadRow } from './rows.js'

/** An upload to be recorded: with bytes that lie in a blob already, or without any. */
export interface NewUpload {
  readonly draft: UploadDraft
  readonly content: { readonly blob: Blob; readonly stored: number } | null
}

/** How long uploads of a protocol may rest, as an interval; null: for ever. */
export type Expirations = Readonly<Record<UploadProtocol, string | null>>

type MadeRow = Pick<UploadRow, 'id' | 'status' | 'created_at' | 'completed_at' | 'expires_at'>

/**
 * Records new uploads, all of them in one statement: null for each whose blob is of an epoch that has lapsed. The key
 * share keeps an epoch from being retired, and its files from being swept, before this is committed.
 */
export async function recordNew(
  runner: Pick<Database | Transaction, 'rows'>,
  s: string,
  expirations: Expirations,
  uploads: readonly NewUpload[],
): Promise<readonly (Upload | null)[]> {
  const column = <T>(value: (upload: NewUpload) => T) => uploads.map(value)
  const made = await runner.rows<MadeRow>('record_new', statement(s), [
    column(({ content }) => content?.blob.epoch ?? null),
    column(({ draft }) => draft.id),
    column(({ draft }) => draft.owner),
    column(({ draft }) => draft.kind),
    column(({ draft }) => draft.protocol),
    column(({ draft }) => draft.length),
    column(({ draft }) => draft.metadata),
    column(({ draft }) => draft.filename),
    column(({ draft }) => expirations[draft.protocol]),
    column(({ content }) => content?.blob.id ?? null),
    column(({ content }) => content?.blob.epoch ?? null),
    column(({ content }) => content?.stored ?? 0),
  ])
  const rows = new Map(made.map((row) => [row.id, row]))
  return uploads.map((upload) => {
    const row = rows.get(upload.draft.id)
    return row === undefined ? null : asUpload(upload, row)
  })
}

function statement(s: string): string {
  return `with living as materialized (
      select epoch from ${s}.nodes
      where epoch = any(?::bigint[]) and retired_at is null and lease_until > clock_timestamp() for key share),
    wanted as materialized (
      select w.*, w.protocol = 'tus' and w.length is not null and w.length = w.stored as whole
      from unnest(?::uuid[], ?::text[], ?::text[], ?::text[], ?::bigint[], ?::text[], ?::text[], ?::interval[],
          ?::uuid[], ?::bigint[], ?::bigint[])
        as w(id, owner, kind, protocol, length, metadata, filename, expiration, blob, epoch, stored)
      where w.blob is null or w.epoch in (select epoch from living)),
    made as (
      insert into ${s}.uploads
        (id, owner, kind, protocol, length, metadata, filename, status, completed_at, expires_at, prefix)
      select id, owner, kind, protocol, length, metadata, filename,
        case when whole then 'complete' else 'in_progress' end,
        case when whole then clock_timestamp() end,
        case when not whole or kind = 'partial' then clock_timestamp() + expiration end,
        case when protocol = 'frago' then stored else 0 end
      from wanted returning *),
    kept as (insert into ${s}.blobs (id, epoch) select blob, epoch from wanted where blob is not null),
    laid as (
      insert into ${s}.extents (upload_id, start, stop, blob_id, blob_offset)
      select id, 0, null, blob, 0 from wanted where blob is not null),
    arrived as (
      insert into ${s}.received (upload_id, start, stop) select id, 0, stored from wanted where stored > 0)
    select id, status, ${['created_at', 'completed_at', 'expires_at'].map(milliseconds).join(', ')} from made`
}

function asUpload({ draft, content }: NewUpload, row: MadeRow): Upload {
  const offset = content?.stored ?? 0
  return toUpload({
    ...draft,
    ...row,
    offset,
    digest_algorithm: null,
    digest_bytes: null,
    part_names: null,
  })
}
