import type { Extent } from './blob.js'

/** The length of the content; throws a RangeError when it is not `[0, length)` without gaps, or has fewer than `copied` bytes. */
export function extentsLength(extents: readonly Extent[], copied: number): number {
  let length = 0
  for (const { start, stop } of extents) {
    if (start !== length || stop <= start)
      throw new RangeError('The extents of a content must follow each other.')
    length = stop
  }
  if (copied < 0 || copied > length)
    throw new RangeError(`There are ${length} bytes, of which ${copied} cannot be copied.`)
  return length
}
