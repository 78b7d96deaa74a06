import type { IncomingHttpHeaders } from 'node:http'
import type { Authenticator } from './authenticator.js'
import { RequestError } from './errors.js'

/**
 * Whose uploads requests speak for, as frago's IDENTIFIER_MODE has it. `anonymous`: everybody is the anonymous owner.
 * `user`: whoever authenticated. `device`: the same, where what authenticates is a device; frago's documentation takes
 * it from the authentication as well (`request.user`), never from a header that anybody can write.
 */
export type IdentifierMode = 'anonymous' | 'user' | 'device'

/** Names the owner by the headers of a request. Fits `identify` of the app and of `extendServer`. */
export type Identifier = (request: { readonly headers: IncomingHttpHeaders }) => Promise<string | null>

/**
 * With an authenticator every request must authenticate, in every mode. Without one there are no users, and a mode
 * that needs them refuses everybody. Null where nobody needs to be asked: answers are then nobody's own.
 */
export function identifierFor(mode: IdentifierMode, authenticator: Authenticator | null): Identifier | null {
  if (authenticator === null) return mode === 'anonymous' ? null : refuseAll
  return async ({ headers }) => {
    const name = await authenticator(headers)
    return mode === 'anonymous' ? null : name
  }
}

async function refuseAll(): Promise<never> {
  throw forbidden()
}

/** In the words of Django REST framework. */
export function forbidden(): RequestError {
  return new RequestError('forbidden', 'You do not have permission to perform this action.')
}
