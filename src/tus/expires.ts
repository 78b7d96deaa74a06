import type { ReplyHeaders } from '../http/reply.js'
import type { Upload } from '../upload/upload.js'

/**
 * tus 1.0.0, expiration: Upload-Expires is due in every answer about an upload that "is going to expire", as an HTTP
 * date. The registry gives no time to uploads that stay.
 */
export function expiresHeader(upload: Upload): ReplyHeaders {
  return upload.expiresAt === null ? {} : { 'Upload-Expires': upload.expiresAt.toUTCString() }
}
