import { validateHeaderValue } from 'node:http'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { contentDisposition } from '../../src/http/disposition.js'
import { mayBeShown, mediaTypeOr } from '../../src/http/media-type.js'

describe('contentDisposition', () => {
  test.each([
    [null, 'inline'],
    ['', 'inline'],
    ['   ', 'inline'],
    ['.', 'inline'],
    ['a/..', 'inline'],
    ['a.txt', 'inline; filename="a.txt"'],
    ['C:\\Users\\me\\a.txt', 'inline; filename="a.txt"'],
    ['фото.jpg', 'inline; filename="____.jpg"; filename*=UTF-8\'\'%D1%84%D0%BE%D1%82%D0%BE.jpg'],
    ['😀.png', 'inline; filename="_.png"; filename*=UTF-8\'\'%F0%9F%98%80.png'],
    ['\ud800.png', 'inline; filename="_.png"'],
    ['invoice\u202egpj.exe', 'inline; filename="invoicegpj.exe"'],
    ['"quoted"', 'inline; filename="_quoted_"; filename*=UTF-8\'\'%22quoted%22'],
  ])('of %j is %s', (name, value) => {
    expect(contentDisposition('inline', name)).toBe(value)
  })

  test('cuts names no file system takes', () => {
    expect(contentDisposition('attachment', 'é'.repeat(10_000)).length).toBeLessThan(2_000)
  })

  test('of any name is a header value with one pair of quotes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), (name) => {
        const value = contentDisposition('attachment', name)
        validateHeaderValue('Content-Disposition', value)
        expect(value).toMatch(
          /^attachment(; filename="[^"\\]*"(; filename\*=UTF-8''[A-Za-z0-9!#$&+.^_`|~%-]+)?)?$/,
        )
      }),
    )
  })
})

describe('media types', () => {
  test.each([
    'text/plain',
    'text/plain; charset=utf-8',
    'application/vnd.api+json',
    'video/mp4;codecs="avc1.42E01E, mp4a.40.2"',
    'x/y',
  ])('%s is one', (type) => expect(mediaTypeOr(type)).toBe(type))

  test.each([
    null,
    '',
    'text',
    'text/',
    '/plain',
    'text/plain;',
    'text/plain\r\nX: y',
    'text/plain, text/html',
    'text /plain',
    'text/plain; charset',
    'text/plain; a="b',
    `a/${'b'.repeat(300)}`,
  ])('%j is none', (type) => expect(mediaTypeOr(type)).toBe('application/octet-stream'))

  test('that may run something are not shown', () => {
    expect(mayBeShown('image/png')).toBe(true)
    expect(mayBeShown('TEXT/PLAIN; charset=utf-8')).toBe(true)
    for (const type of [
      'text/html',
      'image/svg+xml',
      'application/pdf',
      'application/xhtml+xml',
      'text/xml',
      'x/y',
    ]) {
      expect(mayBeShown(type)).toBe(false)
    }
  })

  test('are judged fast, whatever they are', () => {
    const began = performance.now()
    mediaTypeOr(`text/plain${';a="\\'.repeat(60)}`)
    mediaTypeOr(`text/plain; a="${'\\\\'.repeat(120)}`)
    expect(performance.now() - began).toBeLessThan(5_000)
  })
})
