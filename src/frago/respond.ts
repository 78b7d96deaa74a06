import { failureOf } from '../http/errors.js'
import { mergeHeaders, type Reply } from '../http/reply.js'
import { draining } from '../upload/errors.js'
import { detail } from './detail.js'
import type { Exchange } from './exchange.js'
import { failureReply } from './failure.js'
import { finalize } from './finalize.js'
import { json } from './json-reply.js'
import { list } from './list.js'
import { isMethod, METHODS } from './methods.js'
import { isPreflight, options } from './options.js'
import { putChunk } from './put-chunk.js'
import { type Route, routeOf } from './route.js'
import type { Site } from './site.js'
import { start } from './start.js'

/** On every answer, as the framework has it; caches must not keep what belongs to somebody. */
const COMMON = {
  Allow: METHODS.join(', '),
  Vary: 'Accept',
  'Cache-Control': 'private, no-store',
  'Access-Control-Allow-Origin': '*',
}

/** Answers one request below a mount path, whatever it is and whatever goes wrong. Never throws. */
export async function respond(site: Site, exchange: Exchange): Promise<Reply> {
  const route = routeOf(site.mounts, exchange.path)
  if (route === null) return nothingHere()
  const reply = await attempt(site, exchange, route)
  return { ...reply, headers: mergeHeaders(COMMON, reply.headers) }
}

async function attempt(site: Site, exchange: Exchange, route: Route): Promise<Reply> {
  try {
    return await dispatch(site, exchange, route)
  } catch (error) {
    return failureReply(site, exchange, error)
  }
}

async function dispatch(site: Site, exchange: Exchange, route: Route): Promise<Reply> {
  const { method } = exchange
  if (site.inFlight.draining) throw draining()
  // Preflights carry no credentials, and no browser follows them elsewhere.
  if (isPreflight(exchange)) return options()
  if (!route.slash && method !== 'POST' && method !== 'PUT') return toSlash(exchange)
  if (!isMethod(method)) return notAllowed(site, exchange)
  const owner = await site.identify(exchange.request)
  if (method === 'OPTIONS') return options()
  return route.id === null ? ofCollection(site, exchange, owner) : ofUpload(site, exchange, route.id, owner)
}

/** Whoever must say who they are is asked that first; what they may do is not looked at. */
async function notAllowed(site: Site, { method, request }: Exchange): Promise<Reply> {
  try {
    await site.identify(request)
  } catch (error) {
    if (failureOf(error).code !== 'forbidden') throw error
  }
  return json(405, { detail: `Method "${method}" not allowed.` })
}

async function ofCollection(site: Site, exchange: Exchange, owner: string | null): Promise<Reply> {
  if (exchange.method === 'POST') return start(site, exchange, owner)
  if (exchange.method === 'PUT') return json(404, { detail: 'Not found.' })
  return list(site, owner)
}

async function ofUpload(site: Site, exchange: Exchange, id: string, owner: string | null): Promise<Reply> {
  if (exchange.method === 'POST') return finalize(site, exchange, id, owner)
  if (exchange.method === 'PUT') return putChunk(site, exchange, id, owner)
  return detail(site, id, owner)
}

/** Django sends everybody on to the address with the slash. Writers, whom that turned into readers, are served at once. */
function toSlash({ path, query }: Exchange): Reply {
  const headers = { 'Content-Type': 'text/html; charset=utf-8', Location: `${path}/${query}` }
  return { status: 301, headers, body: '' }
}

function nothingHere(): Reply {
  const headers = { 'Content-Type': 'text/plain; charset=utf-8' }
  return { status: 404, headers, body: 'There is nothing at this address.\n' }
}
