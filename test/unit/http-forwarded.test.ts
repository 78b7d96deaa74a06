import { describe, expect, test } from 'vitest'
import { directAddress, forwardedAddress, isHost } from '../../src/http/forwarded.js'

describe('a host', () => {
  test.each([
    'a',
    'a.example',
    'A.Example:443',
    '127.0.0.1',
    '[::1]',
    '[2001:db8::1]:8080',
    'a_b.internal',
    'xn--bcher-kva.example',
    'a%20b',
  ])('%s is one', (text) => expect(isHost(text)).toBe(true))

  test.each([
    '',
    ' ',
    'a b',
    'a/b',
    'a?b',
    'a#b',
    'a@b',
    'a:b',
    'a:',
    'a:123456',
    ':80',
    '[::1',
    '::1',
    '[g::1]',
    'a,b',
    'a;b',
    "a'b",
    '<a>',
    'a\r\nb',
    'é',
    '-a',
    '.',
    'a'.repeat(300),
  ])('"%s" is none', (text) => expect(isHost(text)).toBe(false))
})

test('an address is that of the request itself', () => {
  expect(directAddress({ host: 'a:1' }, false)).toEqual({ proto: 'http', host: 'a:1', prefix: '' })
  expect(directAddress({ host: 'a b' }, true)).toEqual({ proto: 'https', host: null, prefix: '' })
  expect(directAddress({}, true)).toEqual({ proto: 'https', host: null, prefix: '' })
})

describe('a forwarded address', () => {
  const NONE = { proto: null, host: null, prefix: '' }

  test.each([
    [{}, NONE],
    [{ 'x-forwarded-proto': 'https' }, { ...NONE, proto: 'https' }],
    [{ 'x-forwarded-proto': 'https, http' }, { ...NONE, proto: 'https' }],
    [{ 'x-forwarded-proto': ' HTTP ' }, { ...NONE, proto: 'http' }],
    [{ 'x-forwarded-proto': 'javascript' }, NONE],
    [{ 'x-forwarded-host': 'a.example, b' }, { ...NONE, host: 'a.example' }],
    [{ 'x-forwarded-host': 'a/b' }, NONE],
    [{ forwarded: 'for=1.2.3.4;proto=https;host=a' }, { ...NONE, proto: 'https', host: 'a' }],
    [{ forwarded: 'Proto="https" ; Host="a:1"' }, { ...NONE, proto: 'https', host: 'a:1' }],
    [{ forwarded: 'host=a, host=b' }, { ...NONE, host: 'a' }],
    [{ forwarded: 'host="a\\"b"' }, NONE],
    [{ forwarded: ';;=;' }, NONE],
    [
      { forwarded: 'host=a', 'x-forwarded-host': 'b', 'x-forwarded-proto': 'https' },
      { ...NONE, host: 'a', proto: 'https' },
    ],
    [{ 'x-forwarded-prefix': '/a/b' }, { ...NONE, prefix: '/a/b' }],
    [{ 'x-forwarded-prefix': '/a/, /b' }, { ...NONE, prefix: '/a' }],
    [{ 'x-forwarded-prefix': 'a' }, NONE],
    [{ 'x-forwarded-prefix': '//a' }, NONE],
    [{ 'x-forwarded-prefix': '/a/../b' }, NONE],
    [{ 'x-forwarded-prefix': '/a?b' }, NONE],
    [{ 'x-forwarded-prefix': '/' }, NONE],
  ])('from %j is %j', (headers, address) => {
    expect(forwardedAddress(headers)).toEqual(address)
  })
})
