import type { Upload, UploadId } from './upload.js'

/** A finished file that is to appear, or appeared, under a name for people. */
export interface Publication {
  readonly uploadId: UploadId
  /** The name it is to have. */
  readonly filename: string
  /** The name it has now: another one once a newer file took its own; null while it is not published. */
  readonly name: string | null
  /** What tells the publisher its own file from any other that has the same name; null while it is not published. */
  readonly identity: string | null
}

export interface Placed {
  readonly name: string
  readonly identity: string
  /** The name the holder of the filename has now; null when there was none, or it is where it was. */
  readonly holderName: string | null
}

/**
 * That an upload is published. `first`: by the process that is told so, and nobody was told before: where another one
 * did it, that one tells of it.
 */
export interface Published {
  readonly upload: Upload
  readonly first: boolean
}

/**
 * `ours`: this node is to publish it now. `elsewhere`: another living node is at it. `done`: it is published.
 */
export type PublishTurn =
  | { readonly outcome: 'ours'; readonly publication: Publication; readonly upload: Upload }
  | { readonly outcome: 'elsewhere' }
  | { readonly outcome: 'done' }
