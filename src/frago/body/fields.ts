import type { Exchange } from '../exchange.js'
import { collect } from './collect.js'
import { charsetOf, decode } from './decode.js'
import { malformed } from './malformed.js'
import { multipartFields } from './multipart-fields.js'
import { type OpenBody, openBody } from './open-body.js'

/** Fields by name: text in forms, any value in JSON. */
export type Fields = ReadonlyMap<string, unknown>

const NONE: Fields = new Map()

/**
 * The fields of a request, whichever of the three ways it sends them; of a name given twice the last counts. Throws
 * `unsupported_media_type`, `malformed_body`, `body_too_large`, `request_incomplete`.
 */
export async function readFields(exchange: Exchange): Promise<Fields> {
  const body = await openBody(exchange)
  return body === null ? NONE : fieldsOf(body, exchange.signal)
}

/** The same of a body that was opened already. */
export async function fieldsOf(body: OpenBody, signal: AbortSignal): Promise<Fields> {
  switch (body.kind) {
    case 'json':
      return jsonFields(await collect(body.source, signal), body.type)
    case 'form':
      return formFields(await collect(body.source, signal), body.type)
    case 'multipart':
      return multipartFields(body, signal)
  }
}

function jsonFields(bytes: Buffer, type: string): Fields {
  const value = parse(bytes, type)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed('JSON', 'an object is expected')
  }
  return new Map(Object.entries(value))
}

function parse(bytes: Buffer, type: string): unknown {
  try {
    return JSON.parse(decode(bytes, charsetOf(type), true))
  } catch (error) {
    throw malformed('JSON', error instanceof Error ? error.message : 'not understood', error)
  }
}

function formFields(bytes: Buffer, type: string): Fields {
  const charset = charsetOf(type)
  // Escapes stand for bytes, in whatever encoding; URLSearchParams knows UTF-8 only.
  const text = bytes.toString('latin1')
  const fields = new Map<string, string>()
  for (const pair of text.split('&')) {
    if (pair === '') continue
    const at = pair.indexOf('=')
    const [name, value] = at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)]
    fields.set(unescaped(name, charset), unescaped(value, charset))
  }
  return fields
}

function unescaped(text: string, charset: string | null): string {
  const bytes = text
    .replaceAll('+', ' ')
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return decode(Buffer.from(bytes, 'latin1'), charset, false)
}
