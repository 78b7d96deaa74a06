import type { Digest } from './digest.js'
import type { Upload, UploadId, UploadProtocol } from './upload.js'

export interface CompleteRequest {
  readonly id: UploadId
  readonly owner: string | null
  readonly protocol: UploadProtocol
  /** The digest of the content, which was compared with what the client says; null: nothing was compared. */
  readonly digest: Digest | null
  /** The turn under which `digest` was worked out; null: the registry knew it. */
  readonly token: number | null
  /** What the finished file is to be published as; null: nothing is. */
  readonly publishAs: string | null
}

/**
 * `changed`: the content is no longer that of the digest; work it out again. Otherwise the upload is complete, and
 * `first` says whether exactly this statement made it so.
 */
export type CompleteOutcome =
  | { readonly outcome: 'changed' }
  | { readonly outcome: 'complete'; readonly upload: Upload; readonly first: boolean }
