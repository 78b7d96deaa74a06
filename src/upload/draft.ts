import type { UploadId, UploadKind, UploadProtocol } from './upload.js'

/** What a new upload starts with. */
export interface UploadDraft {
  readonly id: UploadId
  readonly owner: string | null
  readonly kind: Exclude<UploadKind, 'final'>
  readonly protocol: UploadProtocol
  readonly length: number | null
  readonly metadata: string | null
  readonly filename: string | null
}
