import type { IncomingHttpHeaders } from 'node:http'
import { Unauthenticated } from './unauthenticated.js'

/** `Token` is Django REST framework's scheme, `Bearer` everybody else's. */
const SCHEMES: readonly string[] = ['token', 'bearer']

/** What a 401 says would have been understood. RFC 6750, 3: `Bearer` must have a parameter. */
export const CHALLENGES: readonly string[] = ['Bearer realm="Tributary"', 'Token']

/** A JWT with many claims has two or three thousand. More would be work for nothing. */
const LONGEST_TOKEN = 8 * 1024

/** The token of `Authorization: Token …` or `Bearer …`, with the scheme in any case. Throws `Unauthenticated`. */
export function tokenOf({ authorization = '' }: IncomingHttpHeaders): string {
  const [scheme = '', token, ...more] = authorization.trim().split(/[ \t]+/, 3)
  if (!SCHEMES.includes(scheme.toLowerCase())) throw new Unauthenticated('missing')
  if (token === undefined) throw new Unauthenticated('empty')
  if (more.length > 0) throw new Unauthenticated('spaces')
  if (token.length > LONGEST_TOKEN || !/^[\x21-\x7e]+$/.test(token)) throw new Unauthenticated('invalid')
  return token
}
