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
 * that can be read, and never changes.
 */
export type SegmentState = 'open' | 'closing' | 'sealed'

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
  readonly key: string
  /** The multipart upload it comes from; null for an object that was put at once. */
  readonly uploadId: string | null
  /** Bytes of each part but the last; null like `uploadId`. */
  readonly partBytes: number | null
  readonly state: SegmentState
  /** Whether its writer may still be at it. */
  readonly written: boolean
}

/** What the final object says about itself. */
export interface SegmentSubject {
  readonly filename: string | null
  /** `Upload-Metadata` of tus as it came; null where there is none. */
  readonly metadata: string | null
}

/**
 * Where the bytes of blobs lie in a store of objects (law 1: neither a list nor a 404 of the store says that). Every method
 * is one statement; any may throw `registry_unavailable`.
 */
export interface SegmentLedger {
  /** Under which this process writes at this moment. */
  readonly epoch: number

  /** What is known of the upload a blob belongs to; null before it has a row. */
  subject(blob: Blob): Promise<SegmentSubject | null>

  /** Whether a blob has any segment. */
  has(blob: Blob): Promise<boolean>

  /**
   * Records an object that is there. Segments of the blob that begin in `[segment.start, replaces)` held bytes that were
   * never recorded: they are forgotten, and returned for their objects to be removed.
   */
  put(segment: NewSegment & { readonly stop: number }, replaces: number): Promise<readonly Segment[]>

  /** Records a multipart upload that was begun. Otherwise like `put`. */
  open(
    segment: NewSegment & { readonly uploadId: string; readonly partBytes: number },
    replaces: number,
  ): Promise<readonly Segment[]>

  /** Records a part that is there. False when the segment is no longer open: the part then does not count. */
  addPart(id: string, part: SegmentPart): Promise<boolean>

  /** The parts so far, by number. */
  parts(id: string): Promise<readonly SegmentPart[]>

  /**
   * Ends an open segment with those of its parts that have no gap before them; after that none is added. Null when there
   * is none, and the segment is forgotten. A closing one answers the same again.
   */
  close(id: string): Promise<Closed | null>

  /** What a provider says of parts now, where that is no longer what it said before. */
  correct(id: string, parts: readonly SegmentPart[]): Promise<void>

  /** Says that a closing segment is an object now. `alone`: it is all that is left of its blob; returns the others. */
  seal(id: string, alone: boolean): Promise<readonly Segment[]>

  /** Segments that have or may have bytes of `[start, stop)`, the youngest first. */
  within(blob: Blob, start: number, stop: number): Promise<readonly Segment[]>

  /** All of a blob. */
  of(blob: Blob): Promise<readonly Segment[]>

  forget(ids: readonly string[]): Promise<void>

  /** Of the given keys, those of segments. */
  known(keys: readonly string[]): Promise<ReadonlySet<string>>
}

export interface NewSegment {
  readonly id: string
  readonly blob: Blob
  readonly start: number
  readonly key: string
}

export interface Closed {
  readonly stop: number
  readonly parts: readonly SegmentPart[]
}
