import type { Blob } from './blob.js'
import type { Publication } from './publication.js'
import type { Upload } from './upload.js'

export interface Terminated {
  readonly upload: Upload
  /** Waiting finals that ended because this upload was one of their parts. */
  readonly expiredFinals: readonly Upload[]
  /** Blobs nothing refers to any more; their bytes are to be removed, then `forgetBlobs`. */
  readonly unreferenced: readonly Blob[]
  /** Its published file, which is to be removed, then `forgetPublications`; null when there is none. */
  readonly published: Publication | null
}

export interface Expired {
  readonly uploads: readonly Upload[]
  readonly unreferenced: readonly Blob[]
}
