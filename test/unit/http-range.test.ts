import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatContentRange, parseRange } from '../../src/http/range.js'

describe('parseRange', () => {
  test.each([
    ['bytes=0-0', 10, { start: 0, stop: 1 }],
    ['bytes=2-5', 10, { start: 2, stop: 6 }],
    ['bytes=2-', 10, { start: 2, stop: 10 }],
    ['bytes=2-100', 10, { start: 2, stop: 10 }],
    ['bytes=-4', 10, { start: 6, stop: 10 }],
    ['bytes=-40', 10, { start: 0, stop: 10 }],
    ['bytes = 1-2 ', 10, { start: 1, stop: 3 }],
    ['bytes=-9007199254740993', 10, { start: 0, stop: 10 }],
    ['bytes=10-', 10, 'unsatisfiable'],
    ['bytes=-0', 10, 'unsatisfiable'],
    ['bytes=5-4', 10, 'whole'],
    ['bytes=0-1,2-3', 10, 'whole'],
    ['bytes=1 - 2', 10, 'whole'],
    ['bytes=+1-2', 10, 'whole'],
    ['bytes=-', 10, 'whole'],
    ['lines=1-2', 10, 'whole'],
    ['', 10, 'whole'],
    [undefined, 10, 'whole'],
    ['bytes=0-', 0, 'whole'],
    ['bytes=-5', 0, 'whole'],
  ] as const)('of %s over %d bytes is %j', (header, length, span) => {
    expect(parseRange(header, length)).toEqual(span)
  })

  test('never leaves the content, and gives what was asked for inside it', () => {
    fc.assert(
      fc.property(fc.nat(50), fc.nat(60), fc.nat(60), (length, first, last) => {
        const span = parseRange(`bytes=${first}-${last}`, length)
        const bytes = Array.from({ length }, (_, index) => index)
        const wanted = bytes.filter((index) => index >= first && index <= last)
        if (length === 0 || last < first) return span === 'whole'
        if (wanted.length === 0) return span === 'unsatisfiable'
        return typeof span === 'object' && bytes.slice(span.start, span.stop).join() === wanted.join()
      }),
    )
  })

  test('survives any text', () => {
    fc.assert(fc.property(fc.string(), fc.nat(), (text, length) => parseRange(text, length) !== undefined))
  })
})

test('formatContentRange names the last byte, not the one after it', () => {
  expect(formatContentRange({ start: 0, stop: 10 }, 100)).toBe('bytes 0-9/100')
})
