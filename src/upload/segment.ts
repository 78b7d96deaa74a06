import type { Blob } from './blob.js'

/** One part of a multipart upload, as its provider confirmed it. */
export interface SegmentPart {
  /** From 1. Part n begins at `(n - 1) * partBytes` of its segment. */
  readonly number: number
  readonly bytes: number
  readonly etag: string
  /** What was sent and confirmed with it (CRC-32, base64); null where the provider takes none. */
  readonly checksum: string | null
}

/**
 * `open`: parts are still coming. `closing`: its parts are final, but it is not one object yet. `sealed`: it is an object
 * that can be read, and never changes. `doomed`: younger ones have all its bytes, and it is to go.
 */
export type SegmentState = 'open' | 'closing' | 'sealed' | 'doomed'

/**
 * A run of a blob's bytes, `[start, stop)` of the blob, as an object of its own. Written by one writer, once, under a
 * name nobody else uses. Where segments of a blob overlap, the younger one counts: the older brought bytes that were never recorded.
 */
export interface Segment {
  readonly id: string
  readonly blob: Blob
  readonly start: number
  /** Of an open one: null. */
  readonly stop: number | null
  /** The epoch it was written under, and part of its address: what a dead epoch left without a row can be found and removed. */
  readonly writer: number
  /** The multipart upload it comes from; null for an object that was put at once. */
  readonly uploadId: string | null
  /** Bytes of each part but the last; null like `uploadId`. */
  readonly partBytes: number | null
  readonly state: SegmentState
  /** Whether the lease of its writer holds, so that it may still be at it. */
  readonly alive: boolean
}

/** What an object may say of the upload that it holds bytes of. */
export interface Subject {
  readonly filename: string | null
  /** `Upload-Metadata` of tus as it came; null where there is none. */
  readonly metadata: string | null
}

/**
 * Where the bytes of blobs lie in a store of objects (law 1: neither a list nor a 404 of the store says that). Every method
 * is one statement; any may throw `registry_unavailable`.
 */
export interface SegmentLedger {
  /** Which deployment this is, as a UUID: part of every address, as two of them may share a bucket and a prefix. */
  deployment(): Promise<string>

  /** What is known of the upload that a blob belongs to; null before it has a row. */
  subject(blob: Blob): Promise<Subject | null>

  /**
   * Records an object that is there, or, with `uploadId`, a multipart upload that was begun. Returns the segments that an object
   * covers: they held bytes that were never recorded, and are doomed. Throws `claim_lost` when the epoch of the writer has
   * ended: then nothing will ever find what it put, and it has to remove it.
   */
  add(segment: NewSegment): Promise<readonly Segment[]>

  /** Records a part that is there. False when the segment is no longer open: then the part does not count. */
  addPart(id: string, part: SegmentPart): Promise<boolean>

  /** The parts so far, by number. */
  parts(id: string): Promise<readonly SegmentPart[]>

  /**
   * Ends an open segment with those of its parts that have no gap before them; after that none is added. Null when there
   * are none, and the segment is forgotten. One that is ended already gets the same answer again.
   */
  close(id: string): Promise<Closed | null>

  /** Says that a closing segment is an object now. Returns those that it covers, like `add`. */
  seal(id: string): Promise<readonly Segment[]>

  /** Up to `limit` segments written under an epoch, by id, after the given one; without those that an assembler goes on with. */
  writtenBy(epoch: number, after: string | null, limit: number): Promise<readonly Segment[]>

  /** Of segments, those whose blob has no row and will not get one. */
  abandoned(ids: readonly string[]): Promise<ReadonlySet<string>>

  /** Segments that have or may have bytes of `[start, stop)`, the youngest first, without doomed ones. */
  within(blob: Blob, start: number, stop: number): Promise<readonly Segment[]>

  /** Whether a blob has any that are not doomed. */
  has(blob: Blob): Promise<boolean>

  /** All of a blob, doomed ones too. */
  all(blob: Blob): Promise<readonly Segment[]>

  forget(ids: readonly string[]): Promise<void>

  /** Of the given ids, those of segments. */
  known(ids: readonly string[]): Promise<ReadonlySet<string>>
}

/** An object that is put at once has its end and is sealed; one of parts gets both later. */
export type NewSegment = Pick<Segment, 'id' | 'blob' | 'writer' | 'start'> &
  (
    | { readonly stop: number; readonly uploadId: null; readonly partBytes: null }
    | { readonly stop: null; readonly uploadId: string; readonly partBytes: number }
  )

export interface Closed {
  readonly stop: number
  readonly parts: readonly SegmentPart[]
}
