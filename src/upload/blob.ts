/**
 * One file or object of the byte store. `epoch` is the node epoch that created it, and part of its address: what a
 * dead epoch left without a row can be found and removed.
 */
export interface Blob {
  readonly id: string
  readonly epoch: number
}

/** A run of an upload's content: `[start, stop)` of the upload lies in `blob` from `blobOffset` on. */
export interface Extent {
  readonly start: number
  readonly stop: number
  readonly blob: Blob
  readonly blobOffset: number
}
