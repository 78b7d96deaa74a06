import { expect, test } from 'vitest'
import { RequestError } from '../../src/http/errors.js'
import { thrownAnswer } from '../../src/http/thrown-answer.js'
import { Unauthenticated } from '../../src/http/unauthenticated.js'
import { busy, UploadError } from '../../src/upload/errors.js'

/** As http-errors makes them, and so Koa's `ctx.throw`. */
const httpError = (status: number, message: string, more: object = {}) =>
  Object.assign(new Error(message), { status, expose: status < 500, ...more })

test.each([
  ['ctx.throw', httpError(401, 'Who?', { headers: { 'X-A': 1 } }), 401, { 'X-A': '1' }, 'Who?\n'],
  ['a hook', { status_code: 402, body: 'Pay.\n' }, 402, {}, 'Pay.\n'],
  ['a hook without words', { status_code: 402 }, 402, {}, 'The request was refused.\n'],
  [
    'who is not authenticated',
    new Unauthenticated('invalid'),
    401,
    { 'WWW-Authenticate': ['Bearer realm="Tributary"', 'Token'] },
    'Invalid token.\n',
  ],
  ['what passes', busy(), 423, { 'Retry-After': '1' }, `${busy().message}\n`],
  ['a coded error', new UploadError('storage_full', 'Full.'), 507, {}, 'Full.\n'],
] as const)('%s is the answer it asks for', (_name, error, status, headers, body) => {
  expect(thrownAnswer(error)).toEqual({ status, headers, body })
})

test.each([
  new Error('SELECT * FROM secrets'),
  httpError(500, 'secret'),
  new RequestError('misconfigured', 'secret'),
  { status_code: 'x' },
  { status_code: 200, body: 'fine' },
  'a text',
  null,
])('%s is a bug', (error) => {
  expect(thrownAnswer(error)).toBeNull()
})
