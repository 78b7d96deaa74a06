import type { Blob, Extent } from '../../src/upload/blob.js'
import { type Digest, isDigestAlgorithm } from '../../src/upload/digest.js'
import type { Publication } from '../../src/upload/ports.js'
import type { Upload, UploadKind, UploadProtocol, UploadStatus } from '../../src/upload/upload.js'

/**
 * Rows as the functions of the schema give them: JSON, whose numbers carry every int8 we allow (up to 2^53 - 1)
 * exactly. This is the one place where they become what the domain knows.
 */
export interface UploadRow {
  readonly id: string
  readonly owner: string | null
  readonly kind: UploadKind
  readonly protocol: UploadProtocol
  readonly length: number | null
  readonly offset: number
  readonly metadata: string | null
  readonly filename: string | null
  readonly status: UploadStatus
  readonly digest_algorithm: string | null
  readonly digest_bytes: string | null
  readonly created_at: number
  readonly completed_at: number | null
  readonly expires_at: number | null
  readonly part_names: readonly string[] | null
}

export interface ExtentRow {
  readonly start: number
  readonly stop: number
  readonly blob: Blob
  readonly blob_offset: number
}

export interface PublicationRow {
  readonly upload_id: string
  readonly filename: string
  readonly name: string | null
  readonly identity: string | null
}

export function toUpload(row: UploadRow): Upload {
  return {
    id: row.id,
    owner: row.owner,
    kind: row.kind,
    protocol: row.protocol,
    length: row.length,
    offset: row.offset,
    metadata: row.metadata,
    filename: row.filename,
    status: row.status,
    digest: toDigest(row),
    createdAt: new Date(row.created_at),
    completedAt: row.completed_at === null ? null : new Date(row.completed_at),
    expiresAt: row.expires_at === null ? null : new Date(row.expires_at),
    partNames: row.part_names,
  }
}

/** The columns of `u`, a row of uploads, that `fromColumns` reads. Cheaper than `describe`, which makes JSON. */
export function uploadColumns(s: string): string {
  return `u.id, u.owner, u.kind, u.protocol, u.length, ${s}.offset_of(u) as "offset", u.metadata, u.filename,
    ${s}.status_now(u) as status, u.digest_algorithm, encode(u.digest_bytes, 'hex') as digest_bytes,
    ${['created_at', 'completed_at', 'expires_at'].map(milliseconds).join(', ')},
    case when u.kind = 'final'
      then (select array_agg(name order by position) from ${s}.parts where final_id = u.id) end as part_names`
}

/** A time as a number that `Date` takes. */
export function milliseconds(column: string): string {
  return `(extract(epoch from ${column}) * 1000)::float8 as ${column}`
}

/** As `uploadColumns` gives it: pg makes texts of `int8`. */
export interface UploadColumns extends Omit<UploadRow, 'length' | 'offset'> {
  readonly length: string | null
  readonly offset: string
}

export function fromColumns(row: UploadColumns): Upload {
  const length = row.length === null ? null : Number(row.length)
  return toUpload({ ...row, length, offset: Number(row.offset) })
}

export function toExtent(row: ExtentRow): Extent {
  return { start: row.start, stop: row.stop, blob: row.blob, blobOffset: row.blob_offset }
}

export function toPublication(row: PublicationRow): Publication {
  return { uploadId: row.upload_id, filename: row.filename, name: row.name, identity: row.identity }
}

function toDigest(row: UploadRow): Digest | null {
  if (row.digest_algorithm === null || row.digest_bytes === null) return null
  if (!isDigestAlgorithm(row.digest_algorithm)) return null
  return { algorithm: row.digest_algorithm, bytes: Buffer.from(row.digest_bytes, 'hex') }
}
