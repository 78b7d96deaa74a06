import { hasHeader, mergeHeaders, type Reply, type ReplyHeaders } from '../http/reply.js'
import { draining } from '../upload/errors.js'
import { corsHeaders } from './cors.js'
import { create } from './create.js'
import type { Exchange } from './exchange.js'
import { failureReply } from './failure.js'
import { get, registeredRoute } from './get.js'
import { head } from './head.js'
import type { Verb } from './listeners.js'
import { verbOf } from './methods.js'
import { options } from './options.js'
import { patch } from './patch.js'
import type { Site } from './site.js'
import { terminate } from './terminate.js'
import { requireVersion, TUS_VERSION } from './version.js'

type VerbHandler = (site: Site, exchange: Exchange, owner: string | null) => Promise<Reply>

const VERBS: Readonly<Record<Exclude<Verb, 'OPTIONS'>, VerbHandler>> = {
  POST: create,
  PATCH: patch,
  HEAD: head,
  DELETE: terminate,
  GET: get,
}

/** Answers one request, whatever it is and whatever goes wrong. Never throws. */
export async function respond(site: Site, exchange: Exchange): Promise<Reply> {
  const reply = await attempt(site, exchange)
  return { ...reply, headers: withCommon(commonHeaders(site, exchange), reply.headers) }
}

async function attempt(site: Site, exchange: Exchange): Promise<Reply> {
  try {
    return await dispatch(site, exchange)
  } catch (error) {
    return failureReply(site, exchange, error)
  }
}

async function dispatch(site: Site, exchange: Exchange): Promise<Reply> {
  const verb = verbOf(exchange.method)
  if (site.inFlight.draining) throw draining()
  requireVersion(exchange)
  // Preflights carry no credentials, and routes of the embedding server are not ours to guard.
  if (verb === 'OPTIONS') return options(site, exchange)
  const registered = verb === 'GET' ? await registeredRoute(site, exchange) : null
  if (registered !== null) return registered
  const inherited = await site.inherited?.reply(verb, exchange)
  if (inherited) return inherited
  const owner = site.identify === null ? null : await site.identify(exchange.subject)
  return VERBS[verb](site, exchange, owner)
}

function commonHeaders(site: Site, exchange: Exchange): ReplyHeaders {
  const version = { 'Tus-Resumable': TUS_VERSION }
  try {
    return { ...version, ...corsHeaders(site.options, exchange.headers.origin) }
  } catch (error) {
    site.engine.log.error({ err: error }, 'allowedOrigins failed; no origin was allowed')
    return version
  }
}

/** What a verb or a hook set stays, but for Vary, which lists what both depend on. */
function withCommon(common: ReplyHeaders, own: ReplyHeaders): ReplyHeaders {
  const headers = mergeHeaders(common, own)
  if (common.Vary === undefined || !hasHeader(own, 'Vary')) return headers
  const [, vary] = Object.entries(own).find(([name]) => name.toLowerCase() === 'vary') ?? []
  return mergeHeaders(headers, { Vary: `${String(vary)}, ${String(common.Vary)}` })
}
