import { EVENTS } from '@tus/utils'
import { onArrival } from '../http/arrival.js'
import type { UploadId } from '../upload/upload.js'
import type { Exchange } from './exchange.js'
import { hookRequest } from './hook-request.js'
import type { Verb } from './listeners.js'
import type { Site } from './site.js'

/** As in @tus/server. */
const INTERVAL_MS = 1_000

/**
 * Tells listeners of POST_RECEIVE how far a body has come, at most once an interval, until what it returns is
 * called. As in @tus/server these are bytes that arrived, not bytes that are recorded.
 */
export function progressOf(
  site: Site,
  exchange: Exchange,
  verb: Verb,
  id: UploadId,
  start: number,
): () => void {
  if (exchange.body === null || !site.listeners.has(verb, EVENTS.POST_RECEIVE)) return () => undefined
  const interval = site.options.postReceiveInterval || INTERVAL_MS
  const { source } = exchange.body
  // Bytes that came together with the headers are there already.
  let offset = start + source.readableLength
  let told = performance.now()
  return onArrival(source, (bytes) => {
    offset += bytes
    const now = performance.now()
    if (now - told < interval) return
    told = now
    const seen = offset
    site.listeners.tell(verb, EVENTS.POST_RECEIVE, () => [hookRequest(exchange), { id, offset: seen }])
  })
}
