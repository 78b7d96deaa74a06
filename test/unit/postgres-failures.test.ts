import { describe, expect, test } from 'vitest'
import { UploadError } from '../../src/upload/errors.js'
import { isAway, isRetryable, translate } from '../../stores/postgres/failures.js'

function failure(code: string, message = `made by a test: ${code}`): Error {
  return Object.assign(new Error(message), { code })
}

test('a database without room is a storage that is full, in a sentence without a path', () => {
  const cause = failure('53100', 'could not extend file "base/5/16397": No space left on device')
  const translated = translate(cause)
  expect(translated).toBeInstanceOf(UploadError)
  expect(translated).toMatchObject({
    code: 'storage_full',
    message: 'The database has no room for more records.',
    cause,
  })
  expect(isAway(cause)).toBe(false)
  expect(isRetryable(cause)).toBe(false)
})

describe('a database that is away', () => {
  test.each([
    ...['53000', '53200', '53300', '53400'],
    ...['57P01', '57P02', '57P03', '57014', '25006', '08006', 'ECONNREFUSED', 'ECONNRESET'],
  ])('%s passes', (code) => {
    const cause = failure(code)
    expect(translate(cause)).toMatchObject({ code: 'registry_unavailable', cause })
  })

  test.each([
    'Connection terminated unexpectedly',
    'timeout exceeded when trying to connect',
    'Query read timeout',
  ])('"%s" passes, without a code', (message) => {
    expect(translate(new Error(message))).toMatchObject({ code: 'registry_unavailable' })
  })
})

test.each([failure('23505'), failure('42601'), failure('40P01'), new Error('a bug'), 'a string', null])(
  '%s is not ours to put into words',
  (error) => {
    expect(translate(error)).toBe(error)
  },
)
