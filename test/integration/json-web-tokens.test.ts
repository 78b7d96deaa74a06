import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { JsonWebTokens } from '../../src/http/json-web-tokens.js'
import { silent } from '../../src/upload/log.js'
import { KeySetServer, signWithSecret, unsigned } from '../support/key-set-server.js'

const SECRET = 'a secret of more than thirty-two bytes'
const seconds = (ahead: number) => Math.floor(Date.now() / 1_000) + ahead

describe('with a secret', () => {
  const tokens = new JsonWebTokens({ secret: SECRET, jwksUrl: null, log: silent })

  test.each(['HS256', 'HS384', 'HS512'])('%s is accepted, and its sub is the owner', async (algorithm) => {
    const claims = { sub: 'ann@example.com', exp: seconds(60), nbf: seconds(-60) }
    expect(await tokens.ownerOf(await signWithSecret(SECRET, claims, algorithm))).toBe('ann@example.com')
  })

  test('clocks may differ a little', async () => {
    expect(await tokens.ownerOf(await signWithSecret(SECRET, { sub: 'a', exp: seconds(-2) }))).toBe('a')
    expect(await tokens.ownerOf(await signWithSecret(SECRET, { sub: 'a', nbf: seconds(3) }))).toBe('a')
  })

  test.each([
    ['expired', { sub: 'a', exp: seconds(-10) }],
    ['not yet valid', { sub: 'a', nbf: seconds(60) }],
    ['of an exp that is no number', { sub: 'a', exp: 'tomorrow' }],
    ['of nobody', {}],
    ['of an empty sub', { sub: '' }],
    ['of a number', { sub: 7 }],
    ['of a sub with a line break', { sub: 'a\nb' }],
    ['of a sub that is too long', { sub: 'x'.repeat(201) }],
  ])('a token %s is refused', async (_name, claims) => {
    expect(await tokens.ownerOf(await signWithSecret(SECRET, claims))).toBeNull()
  })

  test('another secret, or a changed token, is refused', async () => {
    expect(await tokens.ownerOf(await signWithSecret(`${SECRET}!`, { sub: 'a' }))).toBeNull()
    const [header, , signature] = (await signWithSecret(SECRET, { sub: 'a' })).split('.')
    const [, claims] = unsigned({}, { sub: 'b' }).split('.')
    expect(await tokens.ownerOf(`${header}.${claims}.${signature}`)).toBeNull()
  })

  test.each([
    ['none', unsigned({ alg: 'none' }, { sub: 'a' })],
    ['None', unsigned({ alg: 'None' }, { sub: 'a' }, 'x')],
    ['no alg', unsigned({}, { sub: 'a' }, 'x')],
    ['an alg that is no text', unsigned({ alg: ['HS256'] }, { sub: 'a' }, 'x')],
    ['an unknown critical header', unsigned({ alg: 'HS256', crit: ['x'], x: 1 }, { sub: 'a' }, 'x')],
    ['RS256', unsigned({ alg: 'RS256' }, { sub: 'a' }, 'x')],
  ])('%s is refused', async (_name, token) => {
    expect(await tokens.ownerOf(token)).toBeNull()
  })

  test.each(['', 'abc', 'a.b', 'a.b.c', '..', 'e30.e30.', 'a.b.c.d.e', `${'a.'.repeat(3_000)}a`])(
    '%j is no JWT',
    async (token) => {
      expect(await tokens.ownerOf(token)).toBeNull()
    },
  )
})

describe('with a key set', () => {
  const ALGORITHMS = ['RS256', 'PS384', 'ES256', 'ES512', 'EdDSA']
  let provider: KeySetServer
  let tokens: JsonWebTokens
  beforeEach(async () => {
    provider = await KeySetServer.open(...ALGORITHMS)
    tokens = new JsonWebTokens({ secret: SECRET, jwksUrl: provider.url, log: silent })
  })
  afterEach(() => provider.close())

  test('keys of every kind are accepted, and fetched once', async () => {
    const signed = await Promise.all(
      ALGORITHMS.map((algorithm) => provider.sign(algorithm, { sub: algorithm })),
    )
    expect(await Promise.all(signed.map((token) => tokens.ownerOf(token)))).toEqual(ALGORITHMS)
    expect(provider.asked).toBe(1)
  })

  test('a secret next to it goes on being one', async () => {
    expect(await tokens.ownerOf(await signWithSecret(SECRET, { sub: 'a' }))).toBe('a')
    expect(provider.asked).toBe(0)
  })

  test('a public key is no secret', async () => {
    const forged = await signWithSecret(provider.publicText('RS256'), { sub: 'a' })
    expect(await tokens.ownerOf(forged)).toBeNull()
    const without = new JsonWebTokens({ secret: null, jwksUrl: provider.url, log: silent })
    expect(await without.ownerOf(forged)).toBeNull()
    expect(await without.ownerOf(unsigned({ alg: 'none' }, { sub: 'a' }))).toBeNull()
    expect(await without.ownerOf(await signWithSecret(SECRET, { sub: 'a' }))).toBeNull()
  })

  test('a key of another provider, or of another kind than the token says, is refused', async () => {
    const other = await KeySetServer.open('ES256', 'RS256')
    expect(await tokens.ownerOf(await other.sign('ES256', { sub: 'a' }))).toBeNull()
    await other.close()
    expect(await tokens.ownerOf(unsigned({ alg: 'ES256', kid: 'RS256' }, { sub: 'a' }, 'x'))).toBeNull()
  })

  test('a token that names no key is tried with all that fit', async () => {
    await provider.addKey('ES256', 'second')
    provider.forgetNames()
    for (const key of ['ES256', 'second']) {
      expect(await tokens.ownerOf(await provider.sign('ES256', { sub: key }, key))).toBe(key)
    }
    const other = await KeySetServer.open('ES256')
    other.forgetNames()
    expect(await tokens.ownerOf(await other.sign('ES256', { sub: 'a' }))).toBeNull()
    await other.close()
  })

  test.each([
    [{ status: 500, body: '' }],
    [{ status: 302, body: '' }],
    [{ status: 200, body: 'no JSON' }],
    [{ status: 200, body: '{"keys":7}' }],
  ])('that answers %j makes tokens unknowable for now, not wrong', async (trouble) => {
    const token = await provider.sign('RS256', { sub: 'a' })
    provider.trouble = trouble
    await expect(tokens.ownerOf(token)).rejects.toMatchObject({ code: 'authentication_unavailable' })
    expect(await tokens.ownerOf(await signWithSecret(SECRET, { sub: 'a' }))).toBe('a')
    provider.trouble = null
    expect(await tokens.ownerOf(token)).toBe('a')
  })

  test('that is away likewise', async () => {
    const token = await provider.sign('RS256', { sub: 'a' })
    await provider.close()
    await expect(tokens.ownerOf(token)).rejects.toMatchObject({ code: 'authentication_unavailable' })
  })
})
