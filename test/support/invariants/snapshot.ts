/** Runs SQL with `$s` standing for the schema, as `testSchema().run` does. */
export interface Schema {
  run<Row>(sql: string): Promise<readonly Row[]>
}

export interface UploadFacts {
  readonly id: string
  readonly kind: 'whole' | 'partial' | 'final'
  readonly protocol: 'tus' | 'frago'
  readonly length: number | null
  readonly status: 'in_progress' | 'complete' | 'expired'
  readonly completed_at: string | null
  /** Of chunks: where the first gap begins. */
  readonly prefix: number
}

export interface RangeFacts {
  readonly upload_id: string
  readonly start: number
  readonly stop: number
}

export interface ExtentFacts {
  readonly upload_id: string
  readonly start: number
  /** Null: open, as far as there are received bytes. */
  readonly stop: number | null
  readonly blob_id: string
  readonly blob_offset: number
}

export interface BlobFacts {
  readonly id: string
  readonly epoch: number
  readonly doomed_at: string | null
}

export interface ClaimFacts {
  readonly token: number
  readonly upload_id: string
  readonly start: number
  readonly stop: number | null
  readonly epoch: number
  readonly replaces: boolean
}

export interface DigestFacts {
  readonly upload_id: string
  readonly algorithm: string
  readonly epoch: number | null
  readonly known: boolean
}

export interface PublicationFacts {
  readonly upload_id: string
  readonly name: string | null
  readonly identity: string | null
  readonly published_at: string | null
  readonly released_at: string | null
  readonly doomed_at: string | null
}

export interface PartFacts {
  readonly final_id: string
  readonly position: number
  readonly part_id: string
  readonly start: number | null
}

export interface AssemblyFacts {
  readonly upload_id: string
  readonly target: string | null
  readonly copied: number
  readonly epoch: number | null
}

/** Of S3: one of several places where the bytes of a blob lie. */
export interface SegmentFacts {
  readonly id: string
  readonly blob_id: string
  readonly state: string
}

export interface NodeFacts {
  readonly epoch: number
  readonly alive: boolean
  readonly retired_at: string | null
  readonly swept_at: string | null
}

/** Every row of the registry at one moment. */
export interface Snapshot {
  readonly uploads: readonly UploadFacts[]
  readonly received: readonly RangeFacts[]
  readonly extents: readonly ExtentFacts[]
  readonly blobs: readonly BlobFacts[]
  readonly claims: readonly ClaimFacts[]
  readonly parts: readonly PartFacts[]
  readonly assemblies: readonly AssemblyFacts[]
  readonly segments: readonly SegmentFacts[]
  readonly nodes: readonly NodeFacts[]
  readonly digests: readonly DigestFacts[]
  readonly publications: readonly PublicationFacts[]
}

/** One statement, hence one moment; ordered, so that what follows may walk it. */
export async function takeSnapshot(schema: Schema): Promise<Snapshot> {
  const [row] = await schema.run<{ snapshot: Snapshot }>(`select jsonb_build_object(
    'uploads', ${all('uploads', 'id, kind, protocol, length, status, completed_at, prefix', 'id')},
    'received', ${all('received', 'upload_id, start, stop', 'upload_id, start')},
    'extents', ${all('extents', 'upload_id, start, stop, blob_id, blob_offset', 'upload_id, start')},
    'blobs', ${all('blobs', 'id, epoch, doomed_at', 'id')},
    'claims', ${all('claims', 'token, upload_id, lower(range) as start, upper(range) as stop, epoch, replaces', 'token')},
    'parts', ${all('parts', 'final_id, position, part_id, start', 'final_id, position')},
    'assemblies', ${all('assemblies', 'upload_id, target, copied, epoch', 'upload_id')},
    'segments', ${all('segments', 'id, blob_id, state', 'id')},
    'nodes', ${all('nodes', 'epoch, lease_until > clock_timestamp() as alive, retired_at, swept_at', 'epoch')},
    'digests', ${all('digests', 'upload_id, algorithm, epoch, bytes is not null as known', 'upload_id')},
    'publications', ${all('publications', 'upload_id, name, identity, published_at, released_at, doomed_at', 'upload_id')}
  ) as snapshot`)
  if (row === undefined) throw new Error('the snapshot came back empty')
  return row.snapshot
}

function all(table: string, columns: string, order: string): string {
  return `(select coalesce(jsonb_agg(to_jsonb(rows)), '[]') from
    (select ${columns} from $s.${table} order by ${order}) rows)`
}

/** Rows by the upload they belong to. */
export function byUpload<Row extends { readonly upload_id: string }>(
  rows: readonly Row[],
): (id: string) => readonly Row[] {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const group = groups.get(row.upload_id)
    if (group) group.push(row)
    else groups.set(row.upload_id, [row])
  }
  return (id) => groups.get(id) ?? []
}
