import { describe, expect, test } from 'vitest'
import { parseTokenList, TokenListProblem } from '../../stores/tokens/token-list.js'

const parse = (text: string) => parseTokenList(Buffer.from(text))

describe('a list of tokens', () => {
  test('has a token and a user a line', () => {
    const list = parse(
      '\ufeff# who may\r\n\r\nabc alice\r\n  d-e.f\t  Bob  van Dam \n#abc eve\n\u00a0\nx# y#z',
    )
    expect(list.size).toBe(3)
    expect(list.ownerOf('abc')).toBe('alice')
    expect(list.ownerOf('d-e.f')).toBe('Bob  van Dam')
    expect(list.ownerOf('x#')).toBe('y#z')
  })

  test.each(['', 'ab', 'ABC', 'abc ', '#', 'alice', '__proto__', 'constructor'])(
    'does not know %j',
    (token) => {
      expect(parse('abc alice').ownerOf(token)).toBeNull()
    },
  )

  test('may be empty', () => {
    expect(parse('').size).toBe(0)
    expect(parse('# nobody yet\n').size).toBe(0)
  })

  test('may give one user several tokens', () => {
    const list = parse('a ann\nb ann')
    expect([list.ownerOf('a'), list.ownerOf('b')]).toEqual(['ann', 'ann'])
  })

  test.each([
    ['a ann\nb', 'line 2 has no user after the token'],
    ['# x\na ann\n\na bob', 'line 4 has the token of line 2'],
    ['\u00fc ann', 'line 1 has a token that is not plain ASCII'],
    [`${'a'.repeat(8193)} ann`, 'line 1 has a token of more than 8192 characters'],
    [`a ${'x'.repeat(201)}`, /^line 1 has a user name of more than 200 characters/],
    ['a an\u0007n', /^line 1 has a user name .* control characters$/],
  ])('%j is refused with the line', (text, sentence) => {
    expect(() => parse(text)).toThrow(TokenListProblem)
    expect(() => parse(text)).toThrow(sentence)
  })

  test('is refused when it is not text, and never shows a token', () => {
    expect(() => parseTokenList(Buffer.from([0x61, 0x20, 0xff]))).toThrow('it is not UTF-8 text')
    expect(() => parse('hunter2')).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('hunter2') }),
    )
  })
})
