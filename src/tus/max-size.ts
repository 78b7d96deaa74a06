import type { Engine } from '../upload/engine.js'
import { UploadError } from '../upload/errors.js'
import type { UploadId } from '../upload/upload.js'
import type { Exchange } from './exchange.js'
import { hookRequest } from './hook-request.js'
import type { Site } from './site.js'

/** Most bytes this request's upload may have: the smaller of the server's option and the engine's policy. */
export async function maxSizeFor(
  site: Site,
  exchange: Exchange,
  id: UploadId | null,
): Promise<number | null> {
  const { maxSize } = site.options
  const option = typeof maxSize === 'function' ? await maxSize(hookRequest(exchange), id) : maxSize
  // As in @tus/server, 0 is no limit.
  const limits = [option, site.engine.policy.maxSize].filter(
    (limit) => typeof limit === 'number' && limit > 0,
  )
  return limits.length === 0 ? null : Math.min(...(limits as number[]))
}

export function checkLength(length: number | null, maxSize: number | null): void {
  if (length === null || maxSize === null || length <= maxSize) return
  throw new UploadError(
    'size_exceeded',
    `Uploads may have up to ${maxSize} bytes; this one would have ${length}.`,
  )
}

/** The engine with the limit that holds for one request, which may be tighter than its policy. */
export function limitedEngine(engine: Engine, maxSize: number | null): Engine {
  if (maxSize === engine.policy.maxSize) return engine
  return { ...engine, policy: { ...engine.policy, maxSize } }
}
