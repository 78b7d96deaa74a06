import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decodeMetadata,
  encodeMetadata,
  filenameOf,
  formatMetadata,
  parseMetadata,
  typeOf,
} from '../../src/tus/metadata.js'

const KEY = fc
  .string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    minLength: 1,
  })
  .filter((key) => !key.includes(','))
const VALUE = fc.option(fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('base64')))

describe('metadata', () => {
  test('of any keys and bytes is read, and written as it was', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(KEY, VALUE), { selector: ([key]) => key, minLength: 1 }),
        (pairs) => {
          const header = pairs.map(([key, value]) => (value === null ? key : `${key} ${value}`)).join(',')
          const parsed = parseMetadata(header)
          expect(formatMetadata(parsed)).toBe(header)
          expect(Object.keys(decodeMetadata(parsed)).sort()).toEqual(pairs.map(([key]) => key).sort())
          expect(
            formatMetadata(encodeMetadata(decodeMetadata(parsed), parsed))
              ?.split(',')
              .sort(),
          ).toEqual(header.split(',').sort())
        },
      ),
    )
  })

  test('of any text is read or refused with a sentence', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseMetadata(text)
        } catch (error) {
          expect(error).toMatchObject({ code: 'invalid_metadata', message: expect.stringMatching(/\.$/) })
        }
      }),
    )
  })

  test('that is missing or empty is none', () => {
    expect(parseMetadata(undefined)).toEqual([])
    expect(parseMetadata('')).toEqual([])
    expect(formatMetadata([])).toBeNull()
  })

  test('keeps keys of prototypes to itself', () => {
    const decoded = decodeMetadata(parseMetadata('__proto__ YQ==,constructor YQ=='))
    expect(Object.entries(decoded)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'a'],
    ])
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype)
  })

  test('that a hook changes is written anew only where it did', () => {
    const sent = parseMetadata('bytes //79,text YQ==,none')
    const decoded = decodeMetadata(sent)
    expect(formatMetadata(encodeMetadata({ ...decoded, text: 'b', more: null }, sent))).toBe(
      'bytes //79,text Yg==,none,more',
    )
    expect(() => encodeMetadata({ 'a b': 'c' }, [])).toThrow(
      expect.objectContaining({ code: 'misconfigured' }),
    )
  })

  test('names the file and its type where that is text', () => {
    const of = (header: string) => [filenameOf(parseMetadata(header)), typeOf(parseMetadata(header))]
    expect(of('filename YS50eHQ=,filetype dGV4dC9wbGFpbg==')).toEqual(['a.txt', 'text/plain'])
    expect(of('name YS50eHQ=,type dGV4dC9wbGFpbg==')).toEqual(['a.txt', 'text/plain'])
    expect(of('filename /////w==,filetype AA==')).toEqual([null, null])
    expect(of('filename,name ')).toEqual([null, null])
    expect(of('filename 7729eA==')[0]).toBe(Buffer.from('7729eA==', 'base64').toString())
  })
})
