import type { Reply } from '../http/reply.js'
import { checksumAlgorithms } from './checksum.js'
import { preflightHeaders } from './cors.js'
import type { Exchange } from './exchange.js'
import { maxSizeFor } from './max-size.js'
import { METHODS } from './methods.js'
import type { Site } from './site.js'
import { TUS_VERSION } from './version.js'

/** Each is proved by a test of its own in test/integration; a store behind the engine can take none of them away. */
export const EXTENSIONS = [
  'creation',
  'creation-with-upload',
  'creation-defer-length',
  'expiration',
  'checksum',
  'checksum-trailer',
  'termination',
  'concatenation',
  'concatenation-unfinished',
] as const

/** OPTIONS: what this server can do, and the answer to a browser's preflight. */
export async function options(site: Site, exchange: Exchange): Promise<Reply> {
  const maxSize = await maxSizeFor(site, exchange, null)
  return {
    status: 204,
    headers: {
      'Tus-Version': TUS_VERSION,
      'Tus-Extension': EXTENSIONS.join(','),
      'Tus-Checksum-Algorithm': checksumAlgorithms().join(','),
      ...(maxSize !== null && { 'Tus-Max-Size': String(maxSize) }),
      ...preflightHeaders(site.options, METHODS),
    },
    body: null,
  }
}
