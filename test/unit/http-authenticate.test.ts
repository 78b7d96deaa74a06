import { describe, expect, test } from 'vitest'
import { authenticatorOf, type TokenSource } from '../../src/http/authenticator.js'
import { tokenOf } from '../../src/http/credentials.js'
import { RequestError } from '../../src/http/errors.js'
import { identifierFor } from '../../src/http/identifier.js'
import { checkedOwner } from '../../src/http/owner.js'
import { UNAUTHENTICATED, Unauthenticated } from '../../src/http/unauthenticated.js'

const source = (owners: Readonly<Record<string, string>>): TokenSource => ({
  ownerOf: async (token) => owners[token] ?? null,
})

describe('an Authorization header', () => {
  test.each(['Token abc', 'token abc', 'TOKEN abc', 'Bearer abc', 'bEaReR  abc', ' Token\tabc '])(
    '%j names a token',
    (authorization) => {
      expect(tokenOf({ authorization })).toBe('abc')
    },
  )

  test.each([
    [undefined, 'missing'],
    ['', 'missing'],
    ['Basic abc', 'missing'],
    ['abc', 'missing'],
    ['Tokenabc', 'missing'],
    ['Token', 'empty'],
    ['bearer ', 'empty'],
    ['Token a b', 'spaces'],
    ['Bearer a b c', 'spaces'],
    ['Token \u00fc', 'invalid'],
    [`Token ${'a'.repeat(8193)}`, 'invalid'],
  ] as const)('%j does not', (authorization, reason) => {
    const act = () => tokenOf(authorization === undefined ? {} : { authorization })
    expect(act).toThrow(Unauthenticated)
    expect(act).toThrow(
      expect.objectContaining({ code: 'unauthenticated', message: UNAUTHENTICATED[reason] }),
    )
  })

  test('is refused in the words of Django REST framework', () => {
    expect(UNAUTHENTICATED).toEqual({
      missing: 'Authentication credentials were not provided.',
      empty: 'Invalid token header. No credentials provided.',
      spaces: 'Invalid token header. Token string should not contain spaces.',
      invalid: 'Invalid token.',
    })
  })
})

describe('an authenticator', () => {
  test('asks its sources in turn', async () => {
    const authenticate = authenticatorOf([source({ a: 'ann' }), source({ a: 'other', b: 'bob' })])
    expect(await authenticate({ authorization: 'Token a' })).toBe('ann')
    expect(await authenticate({ authorization: 'Bearer b' })).toBe('bob')
    await expect(authenticate({ authorization: 'Bearer c' })).rejects.toThrow('Invalid token.')
  })

  test('does not take a source that is away for one that says no', async () => {
    const away: TokenSource = { ownerOf: () => Promise.reject(new Error('away')) }
    const authenticate = authenticatorOf([away, source({ a: 'ann' })])
    await expect(authenticate({ authorization: 'Token a' })).rejects.toThrow('away')
  })
})

describe('the identifier', () => {
  const authenticator = authenticatorOf([source({ a: 'ann' })])
  const request = { headers: { authorization: 'Token a' } }

  test.each(['user', 'device'] as const)('%s is the name behind the token', async (mode) => {
    const identify = identifierFor(mode, authenticator)
    expect(await identify?.(request)).toBe('ann')
    await expect(identify?.({ headers: {} })).rejects.toThrow(Unauthenticated)
  })

  test.each(['user', 'device'] as const)(
    '%s refuses everybody where nobody can authenticate',
    async (mode) => {
      await expect(identifierFor(mode, null)?.(request)).rejects.toMatchObject({
        code: 'forbidden',
        message: 'You do not have permission to perform this action.',
      })
    },
  )

  test('anonymous is nobody, who must authenticate all the same where that is asked', async () => {
    const identify = identifierFor('anonymous', authenticator)
    expect(await identify?.(request)).toBeNull()
    await expect(identify?.({ headers: {} })).rejects.toThrow(Unauthenticated)
  })

  test('is none where nobody is asked: downloads are then fit for shared caches', () => {
    expect(identifierFor('anonymous', null)).toBeNull()
  })
})

describe('an owner', () => {
  test.each([null, 'ann', 'Cam 7, east gate', 'ü', '😀'.repeat(200)])('may be %j', (owner) => {
    expect(checkedOwner(owner)).toBe(owner)
  })

  test.each(['', 'a\nb', 'a\u0000', '\u0085', 'a\ud800', 'x'.repeat(201), 7, undefined, {}])(
    'may not be %j',
    (owner) => {
      expect(() => checkedOwner(owner)).toThrow(RequestError)
      expect(() => checkedOwner(owner)).toThrow(expect.objectContaining({ code: 'misconfigured' }))
    },
  )
})
