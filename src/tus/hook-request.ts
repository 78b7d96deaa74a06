import type { ServerOptions } from '@tus/server'
import type { Exchange } from './exchange.js'

/** The request type of @tus/server's hooks: a web Request that knows its runtime. */
export type HookRequest = Parameters<NonNullable<ServerOptions['onIncomingRequest']>>[0]

/** The same request object for every hook of an exchange. */
export function hookRequest(exchange: Exchange): HookRequest {
  return exchange.webRequest() as HookRequest
}
