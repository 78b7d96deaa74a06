import type { IncomingMessage } from 'node:http'

/** Whether there are bytes after the headers: RFC 9112 section 6.3, and for HTTP/2 whether the stream went on. */
export function hasBody(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers
  if (length !== undefined && Number(length) === 0) return false
  if (request.httpVersionMajor < 2) return length !== undefined || coding !== undefined
  const { stream } = request as { stream?: { endAfterHeaders?: boolean } }
  return stream?.endAfterHeaders !== true
}
