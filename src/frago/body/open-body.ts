import type { IncomingMessage } from 'node:http'
import { RequestError } from '../../http/errors.js'
import { essenceOf } from '../../http/media-type.js'
import { beginsWithBytes } from '../../upload/begins-with-bytes.js'
import type { Exchange } from '../exchange.js'

export type BodyKind = 'json' | 'form' | 'multipart'

/** A body that has bytes, of a type that is understood. */
export interface OpenBody {
  readonly kind: BodyKind
  /** The media type with its parameters, as sent. */
  readonly type: string
  readonly source: IncomingMessage
}

const KINDS: Readonly<Record<string, BodyKind>> = {
  'application/json': 'json',
  'application/x-www-form-urlencoded': 'form',
  'multipart/form-data': 'multipart',
}

/**
 * Null where there is no body, or an empty one, whatever its type says. Throws `unsupported_media_type` (NOTES section 3:
 * a body of another type, or of none), or the reason why the request ends.
 */
export async function openBody({ request, mayHaveBody, signal }: Exchange): Promise<OpenBody | null> {
  if (!mayHaveBody) return null
  const announced = request.headers['content-length'] !== undefined
  if (!announced && !(await beginsWithBytes(request, signal))) {
    signal.throwIfAborted()
    return null
  }
  const type = request.headers['content-type'] ?? ''
  const kind = KINDS[essenceOf(type)]
  if (kind === undefined) {
    throw new RequestError('unsupported_media_type', `Unsupported media type "${type}" in request.`)
  }
  return { kind, type, source: request }
}
