import type { Blob } from '../../../src/upload/blob.js'
import type { Digest, DigestAlgorithm } from '../../../src/upload/digest.js'
import type { Recorded, ReplacedChunk } from '../../../src/upload/ports.js'
import type { UploadId, UploadKind, UploadProtocol, UploadStatus } from '../../../src/upload/upload.js'

/** Half-open `[start, stop)`. */
export interface Span {
  readonly start: number
  readonly stop: number
}

/** As an extent, but the last one of an unfinished upload may be open (`stop` null) and reads up to what is received. */
export interface ExtentRow {
  readonly start: number
  readonly stop: number | null
  readonly blobId: string
  readonly blobOffset: number
}

export interface PartRow {
  readonly id: UploadId
  readonly name: string
  /** Where its bytes lie in the final, once that is complete: known even after the part itself went away. */
  readonly span: Span | null
}

export interface AssemblyRow {
  readonly token: number
  readonly target: string
  /** Epoch of the node that works on it; null once it was given back. */
  epoch: number | null
  copied: number
}

/** Times are milliseconds of the database's clock. */
export interface UploadRow {
  readonly id: UploadId
  readonly owner: string | null
  readonly kind: UploadKind
  readonly protocol: UploadProtocol
  readonly metadata: string | null
  readonly filename: string | null
  readonly createdAt: number
  parts: readonly PartRow[] | null
  length: number | null
  status: UploadStatus
  completedAt: number | null
  expiresAt: number | null
  /** Order in which uploads were completed; the clock may not tell. */
  completedAs: number | null
  digest: Digest | null
  digests: Map<DigestAlgorithm, DigestRow>
  /** Sorted. Merged for tus; chunks of frago side by side until they are complete. Empty for finals, whose bytes are their parts'. */
  received: readonly Span[]
  extents: readonly ExtentRow[]
  /** Of a final: by what the same request finds it again; null for other kinds and for expired finals. */
  key: string | null
  assembly: AssemblyRow | null
  /** Most bytes a final may have. */
  readonly most: number
  /** The last record of each received range, by its token: the same one is known again by it. */
  recorded: Map<number, { readonly start: number; readonly stop: number; readonly answer: Recorded }>
  /** Turns it had at being assembled, so that one that fails again and again keeps no other waiting. */
  turns: number
}

export interface BlobRow {
  readonly blob: Blob
  /** Whether bytes of it were ever recorded; before that its file may not even exist. */
  written: boolean
}

export interface ClaimRow {
  readonly token: number
  readonly uploadId: UploadId
  readonly epoch: number
  readonly start: number
  readonly stop: number | null
  /** Has no row while the claim replaces a chunk. */
  readonly blob: Blob
  readonly blobOffset: number
  readonly replaces: ReplacedChunk | null
}

export interface DigestRow {
  readonly token: number
  /** The node at work; null: nobody. */
  readonly epoch: number | null
  readonly digest: Digest | null
}

export interface PublicationRow {
  readonly uploadId: UploadId
  readonly filename: string
  name: string | null
  identity: string | null
  epoch: number | null
  publishedAt: number | null
  /** Epoch of the node that published it. */
  publishedBy: number | null
  released: boolean
  doomed: boolean
}

export interface EpochRow {
  /** Infinity while the node's heart beats; -Infinity once it surely writes no more. */
  leaseUntil: number
  retired: boolean
  swept: boolean
}

/** A node as its statements see it. */
export interface Session {
  readonly epoch: number
  /** All that the process has had. */
  readonly epochs: ReadonlySet<number>
  readonly expiration: number
  readonly fragoExpiration: number
}

export function withRange(spans: readonly Span[], added: Span): readonly Span[] {
  if (added.stop <= added.start) return spans
  const merged: Span[] = []
  for (const span of [...spans, added].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1)
    if (last === undefined || span.start > last.stop) merged.push(span)
    else merged[merged.length - 1] = { start: last.start, stop: Math.max(last.stop, span.stop) }
  }
  return merged
}

/** The spans with a chunk, in order; one with the same start gives way to it. */
export function withChunk(spans: readonly Span[], chunk: Span): readonly Span[] {
  return [...spans.filter(({ start }) => start !== chunk.start), chunk].sort((a, b) => a.start - b.start)
}

/** End of the contiguous prefix. */
export function prefixEnd(spans: readonly Span[]): number {
  let end = 0
  for (const { start, stop } of spans) {
    if (start !== end) break
    end = stop
  }
  return end
}

export function overlaps(one: { start: number; stop: number | null }, other: typeof one): boolean {
  return one.start < (other.stop ?? Infinity) && other.start < (one.stop ?? Infinity)
}
