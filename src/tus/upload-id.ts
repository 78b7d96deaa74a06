import type { ServerOptions } from '@tus/server'
import { pathOf } from '../http/target.js'
import { notFound } from '../upload/errors.js'
import { isUploadId, type UploadId } from '../upload/upload.js'
import type { Exchange } from './exchange.js'
import { type HookRequest, hookRequest } from './hook-request.js'
import type { Site } from './site.js'

/**
 * The upload a request is about. What has not the form of our ids is answered exactly as an unknown id, and never
 * reaches the registry. Only the last segment counts: Express and Koa take the path they are mounted at away.
 */
export function requestedId(site: Site, exchange: Exchange): UploadId {
  const id = extractId(site.options, lastSegment(pathOf(exchange.target)), () => hookRequest(exchange))
  if (id === null) throw notFound()
  return id
}

/** The id in the last segment of a path, the way the server's own option finds it, if it has one. */
export function extractId(
  options: ServerOptions,
  segment: string | null,
  request: () => HookRequest,
): UploadId | null {
  const id = options.getFileIdFromRequest
    ? options.getFileIdFromRequest(request(), segment ?? undefined)
    : segment
  return typeof id === 'string' && isUploadId(id) ? id : null
}

/** The last segment of a path, decoded, whether or not a slash follows it; null when there is none. */
export function lastSegment(path: string): string | null {
  const segment = path.replace(/\/$/, '').split('/').at(-1) ?? ''
  return segment === '' ? null : decode(segment)
}

/** Null where percent signs are not followed by UTF-8. */
export function decode(segment: string): string | null {
  try {
    return decodeURIComponent(segment)
  } catch (error) {
    if (error instanceof URIError) return null
    throw error
  }
}
