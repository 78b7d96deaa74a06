import type { Blob, Extent } from './blob.js'

/** Bytes `[from, to)` of a blob. */
export interface BlobRange {
  readonly blob: Blob
  readonly from: number
  readonly to: number
}

/** Where bytes `[start, stop)` of an upload lie, as far as these extents have them, in the order of the extents. */
export function extentsWithin(extents: readonly Extent[], start: number, stop: number): readonly BlobRange[] {
  return extents
    .filter((extent) => extent.stop > start && extent.start < stop)
    .map((extent) => {
      const from = Math.max(start, extent.start)
      const to = Math.min(stop, extent.stop)
      const shift = extent.blobOffset - extent.start
      return { blob: extent.blob, from: from + shift, to: to + shift }
    })
}
