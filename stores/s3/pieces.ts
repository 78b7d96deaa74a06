import type { Segment } from '../../src/upload/segment.js'

/** Bytes `[start, stop)` of a blob, all of which lie in one segment. */
export interface Piece {
  readonly segment: Segment
  readonly start: number
  readonly stop: number
}

type Range = readonly [start: number, stop: number]

export interface Layout {
  /** In order. */
  readonly pieces: readonly Piece[]
  readonly missing: readonly Range[]
}

/** Where `[start, stop)` of a blob lies: of segments that overlap the younger counts. One that has no end yet has no bytes. */
export function layOut(youngestFirst: readonly Segment[], start: number, stop: number): Layout {
  const pieces: Piece[] = []
  let missing: readonly Range[] = start < stop ? [[start, stop]] : []
  for (const segment of youngestFirst) {
    const found = lay(segment, missing)
    pieces.push(...found.pieces)
    missing = found.missing
  }
  return { pieces: pieces.sort((a, b) => a.start - b.start), missing }
}

/** What one segment has of what is missing, and what is missing then. */
export function lay(segment: Segment, missing: readonly Range[]): Layout {
  if (segment.stop === null) return { pieces: [], missing }
  const pieces: Piece[] = []
  const left: Range[] = []
  for (const [from, to] of missing) {
    const [first, last] = [Math.max(from, segment.start), Math.min(to, segment.stop)]
    if (first >= last) {
      left.push([from, to])
      continue
    }
    pieces.push({ segment, start: first, stop: last })
    if (from < first) left.push([from, first])
    if (last < to) left.push([last, to])
  }
  return { pieces, missing: left }
}
