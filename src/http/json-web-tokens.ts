import {
  type CryptoKey,
  createRemoteJWKSet,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose'
import type { Logger } from '../upload/log.js'
import { isOwner } from '../upload/owner.js'
import type { TokenSource } from './authenticator.js'
import { RequestError } from './errors.js'

export interface JsonWebTokensOptions {
  /** For HS256, HS384 and HS512. Null: none of them is accepted. */
  readonly secret: string | null
  /** Where the public keys are. Null: only those with a secret are accepted. */
  readonly jwksUrl: string | null
  readonly log: Logger
}

/**
 * What a key of each kind may be used with. One list for both would let anybody sign with HS256 and a public key as
 * the secret (RFC 8725, 2.1); `none` is in neither.
 */
const SECRET_ALGORITHMS = ['HS256', 'HS384', 'HS512']
const KEY_SET_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
]

/** By so much may clocks differ, in seconds. */
const CLOCK_TOLERANCE = 5

/** For the key set to arrive, in ms. */
const KEY_SET_TIMEOUT = 5_000

/** Failures of the key set's server, which say nothing of the token. */
const KEY_SET_FAILURES: readonly string[] = [
  errors.JWKSTimeout.code,
  errors.JWKSInvalid.code,
  // The answer was not 200, or no JSON.
  errors.JOSEError.code,
]

type Verify = (token: string) => Promise<JWTPayload>

/** JWTs: `sub` is the owner, `exp` and `nbf` are minded; `iss` and `aud` are not looked at. */
export class JsonWebTokens implements TokenSource {
  readonly #verifiers: ReadonlyMap<string, Verify>
  readonly #log: Logger

  constructor({ secret, jwksUrl, log }: JsonWebTokensOptions) {
    this.#verifiers = new Map([
      ...(secret === null ? [] : withAlgorithms(SECRET_ALGORITHMS, secretVerifier(secret))),
      ...(jwksUrl === null ? [] : withAlgorithms(KEY_SET_ALGORITHMS, keySetVerifier(jwksUrl))),
    ])
    this.#log = log
  }

  async ownerOf(token: string): Promise<string | null> {
    const verify = this.#verifiers.get(algorithmOf(token))
    if (verify === undefined) return null
    try {
      return this.#subject(await verify(token))
    } catch (error) {
      if (isFaultOfToken(error)) {
        this.#log.debug({ err: error }, 'a JWT was refused')
        return null
      }
      this.#log.warn({ err: error }, 'the JSON Web Key Set cannot be had or used')
      throw new RequestError(
        'authentication_unavailable',
        'Who sent this cannot be found out at the moment; try again shortly.',
        { cause: error },
      )
    }
  }

  #subject({ sub }: JWTPayload): string | null {
    if (typeof sub === 'string' && isOwner(sub)) return sub
    this.#log.debug({ sub: typeof sub }, 'a JWT was refused: its sub can name nobody')
    return null
  }
}

function withAlgorithms(algorithms: readonly string[], verify: Verify): [string, Verify][] {
  return algorithms.map((algorithm) => [algorithm, verify])
}

function secretVerifier(secret: string): Verify {
  const key = new TextEncoder().encode(secret)
  const options = { algorithms: SECRET_ALGORITHMS, clockTolerance: CLOCK_TOLERANCE }
  return async (token) => (await jwtVerify(token, key, options)).payload
}

/** The set is fetched when first needed, kept for ten minutes, and asked for again when a key is not in it. */
function keySetVerifier(url: string): Verify {
  const keys = createRemoteJWKSet(new URL(url), { timeoutDuration: KEY_SET_TIMEOUT })
  const options = { algorithms: KEY_SET_ALGORITHMS, clockTolerance: CLOCK_TOLERANCE }
  return async (token) => {
    try {
      return (await jwtVerify(token, keys, options)).payload
    } catch (error) {
      // The token names no key, and several would do.
      if (error instanceof errors.JWKSMultipleMatchingKeys) return verifyWithAny(token, error, options)
      throw error
    }
  }
}

async function verifyWithAny(
  token: string,
  keys: AsyncIterable<CryptoKey>,
  options: JWTVerifyOptions,
): Promise<JWTPayload> {
  for await (const key of keys) {
    try {
      return (await jwtVerify(token, key, options)).payload
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error
    }
  }
  throw new errors.JWSSignatureVerificationFailed()
}

/** What the token says it is signed with; empty when it is no JWT. Only chooses the kind of key: each minds it again. */
function algorithmOf(token: string): string {
  try {
    return decodeProtectedHeader(token).alg ?? ''
  } catch {
    return ''
  }
}

/** jose codes what it says of tokens; what fetch and unusable keys throw has no such code. */
function isFaultOfToken(error: unknown): boolean {
  return error instanceof errors.JOSEError && !KEY_SET_FAILURES.includes(error.code)
}
