import type { ByteRange } from './byte-range.js'
import type { Upload } from './upload.js'

export interface FoundUpload {
  readonly upload: Upload
  /** Whether a writer with a living lease holds it at this moment. */
  readonly held: boolean
}

/** An upload with the ranges that have arrived, by ascending start; none once it is complete or expired. */
export interface ListedUpload {
  readonly upload: Upload
  readonly received: readonly ByteRange[]
}
