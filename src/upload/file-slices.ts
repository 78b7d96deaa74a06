import type { BlobRange } from './extents-within.js'
import type { FileRange } from './hash-threads.js'
import type { LocalFiles } from './ports.js'

/** Bytes per message to a thread that reads by itself: 25 ms of md5, 64 of sha3_512; others wait so long for their turn. */
const SLICE_BYTES = 16 * 1024 * 1024

/** All bytes of these ranges in slices of SLICE_BYTES, the last as short as it is. */
export function* fileSlices(
  files: LocalFiles,
  ranges: readonly BlobRange[],
): Generator<readonly FileRange[], undefined> {
  let slice: FileRange[] = []
  let left = SLICE_BYTES
  for (const { blob, from, to } of ranges) {
    for (let at = from; at < to; ) {
      const stop = Math.min(to, at + left)
      slice.push({ path: files.pathOf(blob), from: at, to: stop })
      left -= stop - at
      at = stop
      if (left > 0) continue
      yield slice
      slice = []
      left = SLICE_BYTES
    }
  }
  if (slice.length > 0) yield slice
}
