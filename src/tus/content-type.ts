import type { IncomingHttpHeaders } from 'node:http'
import { RequestError } from '../http/errors.js'
import { essenceOf } from '../http/media-type.js'

const OFFSET_TYPE = 'application/offset+octet-stream'

export function isOffsetType(headers: IncomingHttpHeaders): boolean {
  return essenceOf(headers['content-type'] ?? '') === OFFSET_TYPE
}

/** tus 1.0.0, PATCH: on another type "the server SHOULD return a 415 Unsupported Media Type status". */
export function requireOffsetType(headers: IncomingHttpHeaders): void {
  if (isOffsetType(headers)) return
  throw new RequestError(
    'unsupported_media_type',
    `A body that is part of an upload needs the header Content-Type: ${OFFSET_TYPE}.`,
  )
}
