import { beginsWithBytes } from '../upload/begins-with-bytes.js'
import { UploadError } from '../upload/errors.js'
import type { Exchange, RequestBody } from './exchange.js'
import { announcedBytes } from './integers.js'

/**
 * The body of a request if it has bytes. Many clients send a POST without any as an empty chunked body, and whether
 * it is empty shows only when it ends; nothing is taken from it here. Throws the reason when the request is ended.
 */
export async function bodyWithBytes(exchange: Exchange): Promise<RequestBody | null> {
  const { body, headers, signal } = exchange
  if (body === null || announcedBytes(headers) !== null) return body
  const { source } = body
  if (await beginsWithBytes(source, signal)) return body
  signal.throwIfAborted()
  if (source.destroyed && !source.readableEnded) {
    throw new UploadError('request_incomplete', 'The request ended before its body had begun.')
  }
  return null
}
