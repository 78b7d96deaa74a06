import type { IncomingHttpHeaders } from 'node:http'
import { RequestError } from '../http/errors.js'
import { UploadError } from '../upload/errors.js'
import { MAX_LENGTH } from '../upload/upload.js'

/** tus 1.0.0: "The value MUST be a non-negative integer." One spelling each, so no sign, zeros, hex or exponent. */
const INTEGER = /^(?:0|[1-9]\d*)$/

/**
 * An integer header; null when the request has none. Judged by its text: numbers beyond 2^53 - 1 would be rounded
 * before they could be refused. A repeated header arrives joined with a comma and is no integer.
 */
export function integerHeader(headers: IncomingHttpHeaders, name: string): number | null {
  const text = headers[name.toLowerCase()]
  if (text === undefined) return null
  if (typeof text !== 'string' || !INTEGER.test(text)) {
    throw new RequestError(
      'invalid_header',
      `${name} must be one non-negative decimal integer, such as 1024.`,
    )
  }
  const value = Number(text)
  if (value > MAX_LENGTH) {
    throw new UploadError(
      'size_exceeded',
      `${name} may be at most ${MAX_LENGTH}; larger uploads cannot be stored.`,
    )
  }
  return value
}

export function requiredInteger(headers: IncomingHttpHeaders, name: string): number {
  const value = integerHeader(headers, name)
  if (value !== null) return value
  throw new RequestError('invalid_header', `The request needs the header ${name}.`)
}

/**
 * Bytes the body announces; null when it does not (chunked). Node's parser has seen to it that these are digits.
 */
export function announcedBytes(headers: IncomingHttpHeaders): number | null {
  const text = headers['content-length']
  if (text === undefined || headers['transfer-encoding'] !== undefined) return null
  return integerHeader({ 'content-length': text.replace(/^0+(?=\d)/, '') }, 'Content-Length')
}
