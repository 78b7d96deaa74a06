import type { IncomingMessage } from 'node:http'
import { RequestError } from '../../http/errors.js'
import { UploadError } from '../../upload/errors.js'

/** Far more than a name of 255 characters and a digest need, in whatever encoding. */
export const MOST_FIELD_BYTES = 64 * 1024

/**
 * The whole of a small body. Throws `body_too_large`, `request_incomplete` (the client left), or the signal's reason. The
 * source is left alive, since the answer goes out over the same socket.
 */
export function collect(source: IncomingMessage, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let size = 0
    const settle = (error: unknown) => {
      source.off('data', take).off('end', end).off('close', cut).off('error', cut)
      signal.removeEventListener('abort', aborted)
      source.pause()
      if (error === null) resolve(Buffer.concat(parts))
      else reject(error)
    }
    const take = (bytes: Buffer) => {
      size += bytes.length
      if (size > MOST_FIELD_BYTES) settle(tooLarge())
      else parts.push(bytes)
    }
    const end = () => settle(null)
    const cut = () => settle(new UploadError('request_incomplete', 'The request broke off before its end.'))
    const aborted = () => settle(signal.reason)
    if (signal.aborted) return aborted()
    if (source.destroyed) return cut()
    signal.addEventListener('abort', aborted)
    source.on('end', end).on('close', cut).on('error', cut).on('data', take)
    source.resume()
  })
}

export function tooLarge(): RequestError {
  return new RequestError(
    'body_too_large',
    `The fields of a request may have up to ${MOST_FIELD_BYTES} bytes; these have more.`,
  )
}
