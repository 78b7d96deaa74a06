import type { IncomingHttpHeaders } from 'node:http'

/** How a request was addressed, where that could be made out. */
export interface Address {
  readonly proto: 'http' | 'https' | null
  /** Host and port, valid. */
  readonly host: string | null
  /** Path a proxy took away, without a slash at its end; empty if none. */
  readonly prefix: string
}

const NAME = `[A-Za-z0-9_](?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})*`
const IPV6 = String.raw`\[[0-9A-Fa-f:.]{2,45}\]`

/**
 * RFC 3986 section 3.2.2, without the sub-delims no host name has (`'`, `;`, `,` …): what is accepted here is copied
 * into URLs.
 */
const HOST = new RegExp(`^(?:${NAME}|${IPV6})(?::\\d{1,5})?$`)

/** RFC 3986 path-absolute; no empty segment, so that it cannot begin with an authority. */
const PREFIX = /^(?:\/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+$/

export function isHost(text: string): boolean {
  return text.length <= 255 + 6 && HOST.test(text)
}

/** The address in the request's own Host header; a host that is none is never used for anything. */
export function directAddress(headers: IncomingHttpHeaders, secure: boolean): Address {
  return { proto: secure ? 'https' : 'http', host: hostOr(headers.host), prefix: '' }
}

/**
 * What trusted proxies say the client asked for: `Forwarded` (RFC 7239) before the older `X-Forwarded-*`. Of a list
 * the first value counts, which is the proxy next to the client. Values that are invalid count as absent.
 */
export function forwardedAddress(headers: IncomingHttpHeaders): Address {
  const forwarded = parameters(first(headers.forwarded))
  return {
    proto: protoOr(forwarded.get('proto')) ?? protoOr(first(headers['x-forwarded-proto'])),
    host: hostOr(forwarded.get('host')) ?? hostOr(first(headers['x-forwarded-host'])),
    prefix: prefixOr(first(headers['x-forwarded-prefix'])),
  }
}

function first(header: string | string[] | undefined): string | undefined {
  const text = typeof header === 'string' ? header : header?.[0]
  return text?.split(',', 1)[0]?.trim()
}

function parameters(element: string | undefined): ReadonlyMap<string, string> {
  const pairs = (element ?? '').split(';').flatMap((pair) => {
    const match = /^\s*([A-Za-z]+)=(?:"([^"\\]*)"|([^"\s]*))\s*$/.exec(pair)
    return match?.[1] === undefined ? [] : [[match[1].toLowerCase(), match[2] ?? match[3] ?? ''] as const]
  })
  return new Map(pairs)
}

function protoOr(text: string | undefined): 'http' | 'https' | null {
  const proto = text?.toLowerCase()
  return proto === 'http' || proto === 'https' ? proto : null
}

function hostOr(text: string | undefined): string | null {
  return text !== undefined && isHost(text) ? text : null
}

function prefixOr(text: string | undefined): string {
  const prefix = text?.replace(/\/$/, '') ?? ''
  const climbs = prefix.split('/').some((segment) => segment === '.' || segment === '..')
  return prefix.length <= 1024 && PREFIX.test(prefix) && !climbs ? prefix : ''
}
