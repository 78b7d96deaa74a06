import { RequestError } from '../http/errors.js'
import type { Exchange } from './exchange.js'

export const TUS_VERSION = '1.0.0'

/**
 * tus 1.0.0: a server that does not support the client's version "MUST respond with the 412 Precondition Failed
 * status and MUST include the Tus-Version header into the response". OPTIONS asks for the version, and GET is none
 * of the protocol's methods.
 */
export function requireVersion(exchange: Exchange): void {
  if (exchange.method === 'OPTIONS' || exchange.method === 'GET') return
  if (exchange.headers['tus-resumable'] === TUS_VERSION) return
  throw new RequestError('unsupported_version', `The request needs the header Tus-Resumable: ${TUS_VERSION}.`)
}
