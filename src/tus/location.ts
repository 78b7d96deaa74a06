import type { ServerOptions } from '@tus/server'
import { RequestError } from '../http/errors.js'
import { type Address, directAddress, forwardedAddress } from '../http/forwarded.js'
import type { UploadId } from '../upload/upload.js'
import type { Exchange } from './exchange.js'
import { hookRequest } from './hook-request.js'
import type { Site } from './site.js'

/** How clients reach this server. What proxies say counts only where the server was told to trust them. */
export function publicAddress(
  options: ServerOptions,
  exchange: Pick<Exchange, 'headers' | 'secure'>,
): Address {
  const direct = directAddress(exchange.headers, exchange.secure)
  if (options.respectForwardedHeaders !== true) return direct
  const forwarded = forwardedAddress(exchange.headers)
  return {
    proto: forwarded.proto ?? direct.proto,
    host: forwarded.host ?? direct.host,
    prefix: forwarded.prefix,
  }
}

/** The address of a new upload. Without a host that is one, a path: copying garbage would send clients anywhere. */
export function locationOf(site: Site, exchange: Exchange, id: UploadId): string {
  const { options } = site
  const { proto, host, prefix } = publicAddress(options, exchange)
  const path = options.path === '/' ? '' : options.path.replace(/\/$/, '')
  if (options.generateUrl) {
    const address = { proto: proto ?? 'http', host: host ?? 'localhost', path, id }
    return checked(options.generateUrl(hookRequest(exchange), address))
  }
  const local = `${prefix}${path}/${id}`
  return options.relativeLocation === true || host === null ? local : `${proto}://${host}${local}`
}

function checked(url: string): string {
  if (/^[!-~]+$/.test(url)) return url
  throw new RequestError(
    'misconfigured',
    'generateUrl gave something that cannot stand in a Location header.',
  )
}
