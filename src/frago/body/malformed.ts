import { RequestError } from '../../http/errors.js'

/** A body that cannot be read as what it says it is. The words after the dash are ours, the rest is frago's. */
export function malformed(what: 'JSON' | 'Multipart form', why: string, cause?: unknown): RequestError {
  return new RequestError('malformed_body', `${what} parse error - ${why}`, { cause })
}
