import type { Blob, Extent } from './blob.js'
import type { UploadId } from './upload.js'

/** A final whose extents are to become one blob. */
export interface Assembly {
  readonly uploadId: UploadId
  readonly length: number
  readonly target: Blob
  readonly fresh: boolean
  /** Bytes of the target that are already durable, from its beginning. */
  readonly copied: number
  readonly extents: readonly Extent[]
}
