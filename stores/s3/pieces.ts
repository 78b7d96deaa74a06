import type { Segment } from '../../src/upload/segment.js'

/** Bytes `[start, stop)` of a blob, all of which lie in one segment. */
export interface Piece {
  readonly segment: Segment
  readonly start: number
  readonly stop: number
}

/** Where `[start, stop)` of a blob lies, in order: of segments that overlap the younger counts. Null where a byte is missing. */
export function piecesOf(
  youngestFirst: readonly Segment[],
  start: number,
  stop: number,
): readonly Piece[] | null {
  const found: Piece[] = []
  let missing: readonly (readonly [number, number])[] = start < stop ? [[start, stop]] : []
  for (const segment of youngestFirst) {
    if (segment.stop === null) continue
    const left: (readonly [number, number])[] = []
    for (const [from, to] of missing) {
      const [first, last] = [Math.max(from, segment.start), Math.min(to, segment.stop)]
      if (first >= last) {
        left.push([from, to])
        continue
      }
      found.push({ segment, start: first, stop: last })
      if (from < first) left.push([from, first])
      if (last < to) left.push([last, to])
    }
    missing = left
  }
  if (missing.length > 0) return null
  return found.sort((a, b) => a.start - b.start)
}
