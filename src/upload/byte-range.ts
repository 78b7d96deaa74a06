/** The bytes from `start` up to, not including, `stop`. Never empty. */
export interface ByteRange {
  readonly start: number
  readonly stop: number
}

/** Makes a range; throws a RangeError unless both ends are integers in 0..2^53-1 and `start < stop`. */
export function byteRange(start: number, stop: number): ByteRange {
  if (!isPosition(start)) throw new RangeError(`A range cannot start at ${start}.`)
  if (!isPosition(stop)) throw new RangeError(`A range cannot stop at ${stop}.`)
  if (start >= stop) throw new RangeError(`A range must start before it stops, not [${start}, ${stop}).`)
  return { start, stop }
}

/**
 * Which bytes of something are there: sorted, disjoint ranges, of which no two touch. Immutable. It says whether an
 * upload is complete by having no gaps, which a sum of sizes could not.
 */
export class RangeSet implements Iterable<ByteRange> {
  static readonly empty = new RangeSet([])

  readonly #ranges: readonly ByteRange[]

  private constructor(ranges: readonly ByteRange[]) {
    this.#ranges = ranges
  }

  /** The union of any ranges, in any order. */
  static of(...ranges: readonly ByteRange[]): RangeSet {
    const sorted = ranges.map(checked).sort((a, b) => a.start - b.start)
    const merged: ByteRange[] = []
    for (const range of sorted) {
      const last = merged.at(-1)
      if (last === undefined || last.stop < range.start) merged.push(range)
      else merged[merged.length - 1] = { start: last.start, stop: Math.max(last.stop, range.stop) }
    }
    return new RangeSet(merged)
  }

  /** This set and the range; what overlaps or touches becomes one range. */
  add(range: ByteRange): RangeSet {
    let { start, stop } = checked(range)
    const from = this.#firstStoppingFrom(start)
    let to = from
    for (; to < this.#ranges.length; to++) {
      const other = this.#ranges[to]
      if (other === undefined || other.start > stop) break
      start = Math.min(start, other.start)
      stop = Math.max(stop, other.stop)
    }
    return new RangeSet([...this.#ranges.slice(0, from), { start, stop }, ...this.#ranges.slice(to)])
  }

  /** What `[0, length)` lacks, in order. Empty exactly when the content of that length is complete. */
  gaps(length: number): readonly ByteRange[] {
    if (!isPosition(length)) throw new RangeError(`A length cannot be ${length}.`)
    const gaps: ByteRange[] = []
    let reached = 0
    for (const { start, stop } of this.#ranges) {
      if (start >= length) break
      if (start > reached) gaps.push({ start: reached, stop: start })
      reached = stop
    }
    if (reached < length) gaps.push({ start: reached, stop: length })
    return gaps
  }

  /** Whether every byte of the range is here. */
  contains(range: ByteRange): boolean {
    const { start, stop } = checked(range)
    const found = this.#ranges[this.#firstStoppingFrom(stop)]
    return found !== undefined && found.start <= start
  }

  /** Whether at least one byte of the range is here. */
  overlaps(range: ByteRange): boolean {
    const { start, stop } = checked(range)
    const found = this.#ranges[this.#firstStoppingFrom(start + 1)]
    return found !== undefined && found.start < stop
  }

  /** Where the bytes that reach from 0 without a gap end; 0 when byte 0 is missing. */
  get prefixEnd(): number {
    const first = this.#ranges[0]
    return first?.start === 0 ? first.stop : 0
  }

  /** How many bytes are here. */
  get total(): number {
    return this.#ranges.reduce((sum, { start, stop }) => sum + (stop - start), 0)
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0
  }

  [Symbol.iterator](): Iterator<ByteRange> {
    return this.#ranges[Symbol.iterator]()
  }

  /** Index of the first range that stops at `position` or later; ranges are many, hence the binary search. */
  #firstStoppingFrom(position: number): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const range = this.#ranges[middle]
      if (range !== undefined && range.stop < position) low = middle + 1
      else high = middle
    }
    return low
  }
}

function checked(range: ByteRange): ByteRange {
  return byteRange(range.start, range.stop)
}

function isPosition(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}
