import { STATUS_CODES } from 'node:http'
import { expect, test } from 'vitest'
import { ERROR_STATUS, failureOf, isPassing, RequestError, reasonOf } from '../../src/http/errors.js'
import { busy, notFound, UploadError } from '../../src/upload/errors.js'

test('every code has a status HTTP knows, or tus', () => {
  for (const [code, status] of Object.entries(ERROR_STATUS)) {
    expect([code, STATUS_CODES[status] ?? reasonOf(status)]).toEqual([code, expect.any(String)])
    expect(status).toBeGreaterThanOrEqual(400)
  }
})

test('what a displaced writer gets is what tus-js-client tries again after', () => {
  expect(ERROR_STATUS.upload_busy).toBe(423)
  expect(ERROR_STATUS.claim_lost).toBe(409)
  expect(ERROR_STATUS.offset_mismatch).toBe(409)
})

test('a coded error says its sentence', () => {
  expect(failureOf(notFound())).toEqual({
    code: 'upload_not_found',
    status: 404,
    sentence: 'There is no upload at this address.',
  })
  expect(failureOf(new RequestError('invalid_header', 'No.'))).toEqual({
    code: 'invalid_header',
    status: 400,
    sentence: 'No.',
  })
})

test.each([
  new Error('SELECT * FROM secrets'),
  new RequestError('misconfigured', 'namingFunction'),
  'a string',
  null,
  undefined,
  { status_code: 404 },
])('%s tells the client nothing', (error) => {
  const { status, sentence } = failureOf(error)
  expect(status).toBe(500)
  expect(sentence).toBe('Something went wrong on the server, not with this request; its log says what.')
})

test('troubles that pass are worth another try', () => {
  expect(isPassing(busy().code)).toBe(true)
  expect(isPassing('registry_unavailable')).toBe(true)
  expect(isPassing('draining')).toBe(true)
  expect(isPassing(new UploadError('storage_full', 'Full.').code)).toBe(false)
})
