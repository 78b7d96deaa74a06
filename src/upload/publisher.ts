import type { Extent } from './blob.js'
import type { Placed, Publication } from './publication.js'
import type { Upload, UploadId } from './upload.js'

/** What a publisher has ready to appear under a name. */
export interface ReadyFile {
  readonly uploadId: UploadId
  /** Where it lies: a file the publisher can link to. */
  readonly path: string
  /** Whether it was made for this, and goes away once it is placed. */
  readonly copy: boolean
}

/**
 * Makes finished files appear under names for people, in a place of their own. Errors: `storage_full`,
 * `storage_failed`, `blob_gone`.
 */
export interface Publisher {
  /** What an upload is to be published as: its filename, within whatever place the publisher has for it. */
  nameOf(upload: Upload): string | null
  /** Gets the content ready, by copying it where no link can be made of it. Whatever an earlier attempt left is used up. */
  prepare(publication: Publication, extents: readonly Extent[], length: number): Promise<ReadyFile>
  /**
   * Makes it appear as `filename` (what `nameOf` gave), durably and without overwriting anything: the file that has the name, be it the
   * holder's or a stranger's, gets another first. Nobody else may be at the same filename meanwhile. Safe to repeat.
   */
  place(ready: ReadyFile, filename: string, holder: Publication | null): Promise<Placed>
  /** Removes a published file if it is still the one that was published; absence is no error. */
  remove(publication: Publication): Promise<void>
}
