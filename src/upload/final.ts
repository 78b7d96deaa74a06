import type { Upload, UploadId } from './upload.js'

/** What makes two requests for a final the same (law 5). A null owner counts as a value. */
export interface FinalRequest {
  readonly owner: string | null
  /** In order; the same part may stand twice. */
  readonly parts: readonly { readonly id: UploadId; readonly name: string }[]
  /** The metadata as the client sent it, before any hook changed it. */
  readonly sent: string | null
}

/** A final to be made of parts. */
export interface FinalDraft extends FinalRequest {
  readonly id: UploadId
  readonly metadata: string | null
  readonly filename: string | null
  /** Most bytes the final may have; null: no limit. */
  readonly maxSize: number | null
}

export interface ConcatenateOutcome {
  readonly upload: Upload
  /** True when the same request had been answered before: then nothing was made, and no event is due. */
  readonly repeated: boolean
}
