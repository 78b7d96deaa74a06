import type { CancellationContext, Server } from '@tus/server'
import { ERRORS } from '@tus/utils'
import type { Reply } from '../http/reply.js'
import { pathOf } from '../http/target.js'
import { busy, notFound } from '../upload/errors.js'
import { requireOffsetType } from './content-type.js'
import type { Exchange } from './exchange.js'
import { integerHeader, requiredInteger } from './integers.js'
import type { TusListeners, Verb } from './listeners.js'
import { fromResponse, lentToWeb } from './response.js'
import { lastSegment } from './upload-id.js'

/** Uploads of a store that was in use before this one, which stock handlers go on to serve. */
export interface InheritedUploads {
  /** The answer to a request about such an upload; null when it is about another. */
  reply(verb: Verb, exchange: Exchange): Promise<Reply | null>
}

/** A datastore that knows which ids belong to the store before it. */
interface InheritingStore {
  inherits(id: string): Promise<boolean>
}

type StockHandlers = Server['handlers']
type InheritingVerb = 'GET' | 'HEAD' | 'PATCH' | 'DELETE'

const VERBS: readonly string[] = ['GET', 'HEAD', 'PATCH', 'DELETE'] satisfies InheritingVerb[]

/** Null when the server's datastore inherits nothing. To be asked before its handlers are replaced. */
export function inheritedUploads(server: Server, listeners: () => TusListeners): InheritedUploads | null {
  const { datastore, handlers } = server
  if (!isInheriting(datastore)) return null
  const ids = new WeakMap<object, string>()
  for (const [verb, handler] of Object.entries(handlers)) {
    // Stock handlers take the query for a part of the id (LANDSCAPE 4.3), and know only listeners added before.
    handler.options = Object.create(server.options, {
      getFileIdFromRequest: { value: (request: object) => ids.get(request) },
    })
    handler.emit = (event, ...args: unknown[]) => {
      listeners().tell(verb as Verb, String(event), () => args)
      return true
    }
  }
  return {
    reply: async (verb, exchange) => {
      const id = lastSegment(pathOf(exchange.target))
      if (!VERBS.includes(verb) || id === null || !(await datastore.inherits(id))) return null
      const request = stockRequest(exchange)
      ids.set(request, id)
      return fromResponse(await askStock(handlers[verb as InheritingVerb], request, exchange, server))
    },
  }
}

function isInheriting(store: object): store is InheritingStore {
  return 'inherits' in store && typeof store.inherits === 'function'
}

function stockRequest(exchange: Exchange): Request {
  if (exchange.method === 'PATCH') {
    // What stock handlers leave to a step before them, or do not do.
    requireOffsetType(exchange.headers)
    requiredInteger(exchange.headers, 'Upload-Offset')
    integerHeader(exchange.headers, 'Upload-Length')
  }
  const request = exchange.webRequest()
  if (exchange.body === null || request.body !== null) return request
  // A body of Node lent, not given: stock handlers cancel it on errors, and the answer goes out over its socket.
  const lent = new Request(request, { body: lentToWeb(exchange.body.source), duplex: 'half' } as RequestInit)
  for (const name of ['runtime', 'node'] as const) {
    Object.defineProperty(lent, name, { value: Reflect.get(request, name) })
  }
  return lent
}

async function askStock(
  handler: StockHandlers[InheritingVerb],
  request: Request,
  exchange: Exchange,
  server: Server,
): Promise<Response> {
  try {
    return await handler.send(request, contextOf(exchange, server), new Headers())
  } catch (error) {
    // A lock that is not free is 500 there, and a displaced writer 400: neither is tried again by clients.
    if (error === ERRORS.ERR_LOCK_TIMEOUT || error === ERRORS.ABORTED) throw busy()
    if (error === ERRORS.FILE_NOT_FOUND) throw notFound()
    throw error
  }
}

function contextOf(exchange: Exchange, server: Server): CancellationContext {
  const stopping = new AbortController()
  const abort = () => stopping.abort(ERRORS.ABORTED)
  if (exchange.signal.aborted) abort()
  else exchange.signal.addEventListener('abort', abort, { once: true })
  const cancel = () => {
    setTimeout(abort, server.options.lockDrainTimeout).unref()
  }
  return { signal: stopping.signal, abort, cancel }
}
