import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Segment } from '../../src/upload/segment.js'
import { gridParts, LEAST_PART, partBytesFor } from '../../stores/s3/part-grid.js'
import { layOut } from '../../stores/s3/pieces.js'

const MIB = 1024 * 1024
const TIB = 1024 * 1024 * MIB

function segment(id: string, start: number, stop: number | null): Segment {
  return {
    ...{ id, blob: { id: 'blob', epoch: 1 }, writer: 1, start, stop },
    ...{ uploadId: null, partBytes: null, state: stop === null ? 'open' : 'sealed', alive: true },
  }
}

/** Null where a byte is missing. */
function piecesOf(...args: Parameters<typeof layOut>) {
  const { pieces, missing } = layOut(...args)
  return missing.length > 0 ? null : pieces
}

describe('where the bytes of a blob lie', () => {
  test('a younger segment counts where it overlaps an older one', () => {
    const [younger, older] = [segment('younger', 4, 8), segment('older', 0, 10)]
    expect(piecesOf([younger, older], 2, 9)).toEqual([
      { segment: older, start: 2, stop: 4 },
      { segment: younger, start: 4, stop: 8 },
      { segment: older, start: 8, stop: 9 },
    ])
  })

  test('one that is still open has no bytes', () => {
    expect(piecesOf([segment('open', 0, null)], 0, 1)).toBeNull()
    expect(piecesOf([], 0, 0)).toEqual([])
  })

  test('each byte comes from the youngest that has it, in order, once; a missing one is told', () => {
    const runs = fc.array(fc.tuple(fc.nat(30), fc.integer({ min: 1, max: 12 })), { maxLength: 8 })
    fc.assert(
      fc.property(runs, fc.nat(30), fc.nat(12), (lengths, start, length) => {
        const segments = lengths.map(([from, bytes], n) => segment(String(n), from, from + bytes))
        const stop = start + length
        const owners = Array.from({ length }, (_, n) =>
          segments.find((one) => one.start <= start + n && start + n < (one.stop ?? 0)),
        )
        const pieces = piecesOf(segments, start, stop)
        if (owners.includes(undefined)) return pieces === null
        const found = (pieces ?? []).flatMap((piece) =>
          Array.from({ length: piece.stop - piece.start }, (_, n) => [piece.start + n, piece.segment.id]),
        )
        expect(found).toEqual(owners.map((owner, n) => [start + n, owner?.id]))
        return true
      }),
    )
  })
})

describe('the grid of an object', () => {
  test('has parts of 8 MiB while there are enough of them, and equal ones for any length', () => {
    expect(partBytesFor(1, 10_000)).toBe(8 * MIB)
    expect(partBytesFor(80_000 * MIB, 10_000)).toBe(8 * MIB)
    expect(partBytesFor(80_000 * MIB + 1, 10_000)).toBe(9 * MIB)
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 48 * TIB }),
        fc.integer({ min: 10_000, max: 10_000 }),
        (total, most) => {
          const partBytes = partBytesFor(total, most)
          expect(partBytes).toBeGreaterThanOrEqual(LEAST_PART)
          expect(Math.ceil(total / partBytes)).toBeLessThanOrEqual(most)
        },
      ),
    )
  })

  test('covers an object without gaps', () => {
    const parts = gridParts(20 * MIB + 1, 8 * MIB)
    expect(parts.map(({ number }) => number)).toEqual([1, 2, 3])
    expect(parts.map(({ stop, start }) => stop - start)).toEqual([8 * MIB, 8 * MIB, 4 * MIB + 1])
  })

  test('refuses what no part of 5 GiB could hold', () => {
    expect(() => partBytesFor(49 * TIB, 10_000)).toThrow(RangeError)
  })
})
