import { describe, expect, test } from 'vitest'
import { evaluate, rangeApplies } from '../../src/http/preconditions.js'

const MODIFIED = new Date('2026-01-02T03:04:05.678Z')
const NOW = { etag: '"a"', modified: MODIFIED }
const AT = MODIFIED.toUTCString()
const BEFORE = new Date(MODIFIED.getTime() - 5_000).toUTCString()
const AFTER = new Date(MODIFIED.getTime() + 5_000).toUTCString()

describe('conditions', () => {
  test.each([
    [{}, 'go_on'],
    [{ 'if-none-match': '"a"' }, 'not_modified'],
    [{ 'if-none-match': 'W/"a"' }, 'not_modified'],
    [{ 'if-none-match': '"b", "a"' }, 'not_modified'],
    [{ 'if-none-match': '*' }, 'not_modified'],
    [{ 'if-none-match': '"b"' }, 'go_on'],
    [{ 'if-none-match': 'a' }, 'go_on'],
    [{ 'if-none-match': '"b"', 'if-modified-since': AFTER }, 'go_on'],
    [{ 'if-modified-since': AT }, 'not_modified'],
    [{ 'if-modified-since': AFTER }, 'not_modified'],
    [{ 'if-modified-since': BEFORE }, 'go_on'],
    [{ 'if-modified-since': 'yesterday' }, 'go_on'],
    [{ 'if-match': '"a"' }, 'go_on'],
    [{ 'if-match': '*' }, 'go_on'],
    [{ 'if-match': 'W/"a"' }, 'failed'],
    [{ 'if-match': '"b"' }, 'failed'],
    [{ 'if-match': '"a"', 'if-unmodified-since': BEFORE }, 'go_on'],
    [{ 'if-unmodified-since': BEFORE }, 'failed'],
    [{ 'if-unmodified-since': AT }, 'go_on'],
    [{ 'if-match': '"a"', 'if-none-match': '"a"' }, 'not_modified'],
  ] as const)('%j: %s', (headers, outcome) => {
    expect(evaluate(headers, NOW)).toBe(outcome)
  })

  test('on a date count for nothing where none is known', () => {
    expect(evaluate({ 'if-modified-since': AFTER }, { etag: '"a"', modified: null })).toBe('go_on')
    expect(evaluate({ 'if-unmodified-since': BEFORE }, { etag: '"a"', modified: null })).toBe('go_on')
  })
})

test.each([
  [undefined, true],
  ['"a"', true],
  ['W/"a"', false],
  ['"b"', false],
  [AT, true],
  [BEFORE, false],
  [AFTER, false],
  ['nonsense', false],
])('a range with If-Range %s is given: %s', (header, applies) => {
  expect(rangeApplies(header, NOW)).toBe(applies)
})
