import { describe, expect, test } from 'vitest'
import { corsHeaders, preflightHeaders } from '../../src/tus/cors.js'
import { announcedBytes, integerHeader, requiredInteger } from '../../src/tus/integers.js'
import { effectiveMethod, METHODS, verbOf } from '../../src/tus/methods.js'

const length = (text: string) => integerHeader({ 'upload-length': text }, 'Upload-Length')

describe('integers', () => {
  test.each([
    ['0', 0],
    ['1', 1],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('%s is one', (text, value) => expect(length(text)).toBe(value))

  test.each(['', ' ', '-0', '+1', '01', '1.0', '1e1', '0x1', '1 ', '1,1', '١', 'NaN', '1_000'])(
    '"%s" is none',
    (text) => expect(() => length(text)).toThrow(expect.objectContaining({ code: 'invalid_header' })),
  )

  test.each(['9007199254740992', '9007199254740993', '9'.repeat(1000)])('%s is too large', (text) =>
    expect(() => length(text)).toThrow(expect.objectContaining({ code: 'size_exceeded' })),
  )

  test('may be missing, unless they are required', () => {
    expect(integerHeader({}, 'Upload-Length')).toBeNull()
    expect(() => requiredInteger({}, 'Upload-Offset')).toThrow(/Upload-Offset/)
  })

  test('that a body announces count only where it is not chunked', () => {
    expect(announcedBytes({ 'content-length': '12' })).toBe(12)
    expect(announcedBytes({ 'content-length': '0012' })).toBe(12)
    expect(announcedBytes({ 'transfer-encoding': 'chunked' })).toBeNull()
    expect(announcedBytes({})).toBeNull()
    expect(() => announcedBytes({ 'content-length': '9'.repeat(30) })).toThrow(
      expect.objectContaining({ code: 'size_exceeded' }),
    )
  })
})

describe('methods', () => {
  test('are overridden by a header that says something', () => {
    expect(effectiveMethod('POST', {})).toBe('POST')
    expect(effectiveMethod('POST', { 'x-http-method-override': '' })).toBe('POST')
    expect(effectiveMethod('POST', { 'x-http-method-override': 'PATCH' })).toBe('PATCH')
  })

  test.each(['put', 'PUT', 'get', '', '__proto__'])('%s is none of tus', (method) => {
    expect(() => verbOf(method)).toThrow(expect.objectContaining({ code: 'method_not_allowed' }))
  })

  test('of tus are known', () => {
    for (const method of METHODS) expect(verbOf(method)).toBe(method)
  })
})

describe('CORS lists', () => {
  const options = { path: '/files' } as Parameters<typeof corsHeaders>[0]

  test('name every header once, however often it is given', () => {
    const { 'Access-Control-Expose-Headers': exposed } = corsHeaders(
      { ...options, exposedHeaders: ['upload-offset', 'X-Mine', 'x-mine'] },
      undefined,
    )
    const names = String(exposed).toLowerCase().split(', ')
    expect(new Set(names).size).toBe(names.length)
    expect(names).toContain('x-mine')
  })

  test('let tus-js-client send all it may', () => {
    const { 'Access-Control-Allow-Headers': allowed } = preflightHeaders(options, METHODS)
    const names = String(allowed).toLowerCase().split(', ')
    for (const name of [
      'tus-resumable',
      'upload-concat',
      'upload-defer-length',
      'x-request-id',
      'upload-checksum',
    ]) {
      expect(names).toContain(name)
    }
  })

  test('do not call an answer the same for all origins when it is not', () => {
    expect(corsHeaders({ ...options, allowedOrigins: ['a'] }, undefined).Vary).toBe('Origin')
    expect(corsHeaders(options, 'b').Vary).toBeUndefined()
    expect(
      corsHeaders({ ...options, allowedOrigins: [] }, 'b')['Access-Control-Allow-Origin'],
    ).toBeUndefined()
  })
})
