import type { Blob, Extent } from './blob.js'
import type { Upload, UploadId, UploadProtocol } from './upload.js'

/** What a writer asks for before its first byte is stored. */
export interface ClaimRequest {
  readonly id: UploadId
  readonly owner: string | null
  readonly protocol: UploadProtocol
  /** First byte to be written. An append must begin exactly at the recorded offset. */
  readonly start: number
  /** End of the range (exclusive); null: to the end of the upload, as an append claims. */
  readonly stop: number | null
  /** The length a deferred upload turns out to have, if the request declares it; null otherwise. */
  readonly declaredLength: number | null
}

/** A chunk that was received before at the same start, and where its bytes lie. */
export interface ReplacedChunk {
  readonly stop: number
  /** Of `[claim.start, stop)`, in order, without gaps. */
  readonly extents: readonly Extent[]
}

/** The right to write one range of one upload into one blob, until handed back, recorded or taken over. */
export interface Claim {
  /** Fencing token: every later statement about this claim fails once it no longer holds. */
  readonly token: number
  readonly uploadId: UploadId
  readonly start: number
  /** Length of the upload; null while deferred. */
  readonly length: number | null
  readonly blob: Blob
  /** Where byte `start` of the upload lies in the blob. */
  readonly blobOffset: number
  /** True while no byte of the blob is recorded: its file may not be there yet, and is made if it is missing. */
  readonly fresh: boolean
  /**
   * Set when a chunk is there already that begins at the same byte. Then `blob` holds this request's bytes alone and
   * has no row before `record`: whoever does not record removes its bytes. Null otherwise, and always for tus.
   */
  readonly replaces: ReplacedChunk | null
  /** Aborts when somebody waits for this range, or when this node lost its lease: stop reading, record, hand back. */
  readonly yielded: AbortSignal
}

export interface Recorded {
  readonly upload: Upload
  /** Blobs nothing refers to any more since the chunk replaced another. */
  readonly unreferenced: readonly Blob[]
  /** True when exactly this statement made the upload complete. */
  readonly completed: boolean
  /** Waiting finals that exactly this statement completed. */
  readonly completedFinals: readonly Upload[]
}
