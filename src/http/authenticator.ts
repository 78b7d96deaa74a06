import type { IncomingHttpHeaders } from 'node:http'
import { tokenOf } from './credentials.js'
import { Unauthenticated } from './unauthenticated.js'

/** Says who sent a request with these headers, or throws `Unauthenticated`. */
export type Authenticator = (headers: IncomingHttpHeaders) => Promise<string>

/** Something that knows whose token one is: a list, a table, a signature. */
export interface TokenSource {
  /**
   * The owner of a token, or null when it is not one of this source: unknown, expired, forged. Rejects only when that
   * cannot be told at the moment.
   */
  ownerOf(token: string): Promise<string | null>
}

/** Asks the sources in turn; the first that knows the token says whose it is. */
export function authenticatorOf(sources: readonly TokenSource[]): Authenticator {
  return async (headers) => {
    const token = tokenOf(headers)
    for (const source of sources) {
      const owner = await source.ownerOf(token)
      if (owner !== null) return owner
    }
    throw new Unauthenticated('invalid')
  }
}
