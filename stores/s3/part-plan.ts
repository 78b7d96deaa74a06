import type { ObjectRange } from './bucket.js'
import { type GridPart, LEAST_PART } from './part-grid.js'

/** A run of an object, and how many bytes that has in all. */
export interface Source extends ObjectRange {
  readonly whole: number
}

/** A run of the content, which begins at `at`. */
export interface Placed extends Source {
  readonly at: number
}

export interface PlannedPart extends GridPart {
  /** What it is made of, in order. */
  readonly sources: readonly Source[]
}

/** Which runs each part is made of. Both come in order and without gaps, so that each is looked at once. */
export function planned(parts: readonly GridPart[], runs: readonly Placed[]): readonly PlannedPart[] {
  let first = 0
  return parts.map((part) => {
    const sources: Source[] = []
    while (endOf(runs[first]) <= part.start) first += 1
    for (let index = first; index < runs.length; index++) {
      const run = runs[index] as Placed
      if (run.at >= part.stop) break
      const from = Math.max(part.start, run.at) - run.at
      const to = Math.min(part.stop, endOf(run)) - run.at
      sources.push({ key: run.key, start: run.start + from, stop: run.start + to, whole: run.whole })
    }
    return { ...part, sources }
  })
}

function endOf(run: Placed | undefined): number {
  return run === undefined ? Number.POSITIVE_INFINITY : run.at + run.stop - run.start
}

/**
 * Whether the provider can make a part by itself: of one object, as long as S3 asks of every part but the last, and not a range of an
 * object below 5 MiB, of which S3 copies the whole only.
 */
export function isCopyable({ start, stop, sources }: PlannedPart, total: number): boolean {
  const [source, ...others] = sources
  if (source === undefined || others.length > 0) return false
  const isWhole = source.start === 0 && source.stop === source.whole
  return (stop - start >= LEAST_PART || stop === total) && (isWhole || source.whole > LEAST_PART)
}
