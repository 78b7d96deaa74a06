import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ByteRange, byteRange, RangeSet } from '../../src/upload/byte-range.js'

const LARGEST = Number.MAX_SAFE_INTEGER

describe('byteRange', () => {
  test('takes integers from 0 to 2^53 - 1 that are in order', () => {
    expect(byteRange(0, 1)).toEqual({ start: 0, stop: 1 })
    expect(byteRange(0, LARGEST)).toEqual({ start: 0, stop: LARGEST })
  })

  test.each([
    [-1, 1],
    [0.5, 1],
    [0, 1.5],
    [Number.NaN, 1],
    [0, Number.POSITIVE_INFINITY],
    [0, LARGEST + 1],
    [1, 1],
    [0, 0],
    [2, 1],
  ])('refuses [%d, %d)', (start, stop) => {
    expect(() => byteRange(start, stop)).toThrow(RangeError)
  })
})

describe('RangeSet', () => {
  test('merges ranges that overlap or touch, and keeps others apart', () => {
    const set = RangeSet.of(byteRange(10, 20), byteRange(0, 5), byteRange(20, 30), byteRange(25, 28))
    expect([...set]).toEqual([byteRange(0, 5), byteRange(10, 30)])
    expect([...set.add(byteRange(5, 10))]).toEqual([byteRange(0, 30)])
    expect([...set.add(byteRange(7, 8))]).toEqual([byteRange(0, 5), byteRange(7, 8), byteRange(10, 30)])
  })

  test('is not changed by add', () => {
    const set = RangeSet.of(byteRange(0, 5))
    set.add(byteRange(5, 9))
    expect([...set]).toEqual([byteRange(0, 5)])
  })

  test('says what is missing', () => {
    const set = RangeSet.of(byteRange(2, 4), byteRange(6, 8))
    expect(set.gaps(10)).toEqual([byteRange(0, 2), byteRange(4, 6), byteRange(8, 10)])
    expect(set.gaps(7)).toEqual([byteRange(0, 2), byteRange(4, 6)])
    expect(set.gaps(3)).toEqual([byteRange(0, 2)])
    expect(set.gaps(0)).toEqual([])
    expect(RangeSet.empty.gaps(0)).toEqual([])
    expect(RangeSet.empty.gaps(3)).toEqual([byteRange(0, 3)])
    expect(() => set.gaps(-1)).toThrow(RangeError)
  })

  test('has a prefix only when byte 0 is there', () => {
    expect(RangeSet.empty.prefixEnd).toBe(0)
    expect(RangeSet.of(byteRange(1, 9)).prefixEnd).toBe(0)
    expect(RangeSet.of(byteRange(0, 9), byteRange(10, 11)).prefixEnd).toBe(9)
  })

  test('counts exactly at the largest length', () => {
    const set = RangeSet.of(byteRange(0, 1), byteRange(LARGEST - 1, LARGEST))
    expect(set.total).toBe(2)
    expect(set.gaps(LARGEST)).toEqual([byteRange(1, LARGEST - 1)])
    expect(set.contains(byteRange(LARGEST - 1, LARGEST))).toBe(true)
    expect(set.overlaps(byteRange(LARGEST - 2, LARGEST - 1))).toBe(false)
    expect(set.add(byteRange(1, LARGEST - 1)).total).toBe(LARGEST)
  })

  test('refuses ranges nobody validated', () => {
    const wrong: ByteRange = { start: 3, stop: 3 }
    expect(() => RangeSet.of(wrong)).toThrow(RangeError)
    expect(() => RangeSet.empty.add(wrong)).toThrow(RangeError)
    expect(() => RangeSet.empty.contains(wrong)).toThrow(RangeError)
    expect(() => RangeSet.empty.overlaps(wrong)).toThrow(RangeError)
  })
})

describe('RangeSet, against a bitmap', () => {
  const SIZE = 40
  const range = fc
    .tuple(fc.nat(SIZE - 1), fc.integer({ min: 1, max: 8 }))
    .map(([start, length]) => byteRange(start, Math.min(SIZE, start + length)))

  const bitmapOf = (ranges: readonly ByteRange[]): boolean[] => {
    const bitmap = new Array<boolean>(SIZE).fill(false)
    for (const { start, stop } of ranges) bitmap.fill(true, start, stop)
    return bitmap
  }

  const runs = (bitmap: readonly boolean[], wanted: boolean): ByteRange[] => {
    const found: ByteRange[] = []
    let start = -1
    for (let at = 0; at <= bitmap.length; at++) {
      const here = at < bitmap.length && bitmap[at] === wanted
      if (here && start < 0) start = at
      if (!here && start >= 0) {
        found.push(byteRange(start, at))
        start = -1
      }
    }
    return found
  }

  test('holds the same bytes whether added one by one or at once', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), (ranges) => {
        const bitmap = bitmapOf(ranges)
        const added = ranges.reduce((set, next) => set.add(next), RangeSet.empty)
        expect([...added]).toEqual(runs(bitmap, true))
        expect([...RangeSet.of(...ranges)]).toEqual(runs(bitmap, true))
        expect(added.total).toBe(bitmap.filter(Boolean).length)
        expect(added.isEmpty).toBe(ranges.length === 0)
        const firstMissing = bitmap.indexOf(false)
        expect(added.prefixEnd).toBe(firstMissing < 0 ? SIZE : firstMissing)
      }),
    )
  })

  test('finds gaps, containment and overlap as the bitmap does', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 12 }), range, fc.nat(SIZE), (ranges, probe, length) => {
        const bitmap = bitmapOf(ranges)
        const set = RangeSet.of(...ranges)
        const probed = bitmap.slice(probe.start, probe.stop)
        expect(set.gaps(length)).toEqual(runs(bitmap.slice(0, length), false))
        expect(set.contains(probe)).toBe(probed.every(Boolean))
        expect(set.overlaps(probe)).toBe(probed.some(Boolean))
      }),
    )
  })
})
