import { RequestError } from '../http/errors.js'

/** A pair of Upload-Metadata. `encoded` is the value as sent; null when there was no value, not even a space. */
export interface MetadataPair {
  readonly key: string
  readonly encoded: string | null
}

/** Printable ASCII without space and comma. tus 1.0.0: keys "MUST NOT contain spaces and commas and MUST NOT be empty". */
const KEY = /^[!-+\--~]+$/

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * Reads Upload-Metadata. An empty header counts as none: tus-py-client sends one with every creation that has no
 * metadata, and tusd takes it. The pairs keep values as sent, since a value may be any bytes, not only text.
 */
export function parseMetadata(header: string | undefined): readonly MetadataPair[] {
  if (header === undefined || header === '') return []
  const pairs = header.split(',').map(parsePair)
  const keys = new Set<string>()
  for (const { key } of pairs) {
    if (keys.has(key)) throw invalid(`the key ${key} stands twice`)
    keys.add(key)
  }
  return pairs
}

function parsePair(text: string): MetadataPair {
  const [key = '', encoded, ...more] = text.split(' ')
  if (!KEY.test(key)) throw invalid('a key is empty or has characters other than printable ASCII')
  if (more.length > 0) throw invalid(`the pair ${key} has more than one space`)
  if (encoded !== undefined && !BASE64.test(encoded)) throw invalid(`the value of ${key} is not base64`)
  return { key, encoded: encoded ?? null }
}

function invalid(what: string): RequestError {
  return new RequestError(
    'invalid_metadata',
    `Upload-Metadata must be pairs of a key, a space and a base64 value, separated by commas; here ${what}.`,
  )
}

/** The values as hooks know them from @tus/server: text, or null for a key without one. */
export function decodeMetadata(pairs: readonly MetadataPair[]): Record<string, string | null> {
  // fromEntries defines, so that keys like __proto__ are keys like any other.
  return Object.fromEntries(pairs.map(({ key, encoded }) => [key, encoded ? decodeText(encoded) : null]))
}

function decodeText(encoded: string): string {
  return Buffer.from(encoded, 'base64').toString('utf8')
}

/** Metadata a hook gave. Values it left alone keep the bytes the client sent, which text may not hold. */
export function encodeMetadata(
  values: Readonly<Record<string, string | null>>,
  sent: readonly MetadataPair[],
): readonly MetadataPair[] {
  const before = new Map(sent.map((pair) => [pair.key, pair.encoded]))
  return Object.entries(values).map(([key, value]) => {
    if (!KEY.test(key))
      throw new RequestError('misconfigured', `A hook set the metadata key ${JSON.stringify(key)}.`)
    const encoded = before.get(key) ?? null
    const same = before.has(key) && value === (encoded ? decodeText(encoded) : null)
    if (same) return { key, encoded }
    return { key, encoded: value === null ? null : Buffer.from(value, 'utf8').toString('base64') }
  })
}

/** The header's value; null for no pairs. */
export function formatMetadata(pairs: readonly MetadataPair[]): string | null {
  if (pairs.length === 0) return null
  return pairs.map(({ key, encoded }) => (encoded === null ? key : `${key} ${encoded}`)).join(',')
}

/** The first of the given keys that has a value which is text people can read; null if none has. */
export function textOf(pairs: readonly MetadataPair[], ...keys: readonly string[]): string | null {
  for (const key of keys) {
    const encoded = pairs.find((pair) => pair.key === key)?.encoded
    const text = encoded ? readable(Buffer.from(encoded, 'base64')) : null
    if (text !== null) return text
  }
  return null
}

/** Null for bytes that are not UTF-8, and for NUL, which PostgreSQL's text cannot hold. */
function readable(bytes: Buffer): string | null {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return text === '' || text.includes('\0') ? null : text
  } catch (error) {
    if (error instanceof TypeError) return null
    throw error
  }
}

/** The client's name for the file. Uppy sends both keys, others one of them. */
export function filenameOf(pairs: readonly MetadataPair[]): string | null {
  return textOf(pairs, 'filename', 'name')
}

/** The media type the client gave the file, unchecked. */
export function typeOf(pairs: readonly MetadataPair[]): string | null {
  return textOf(pairs, 'filetype', 'type')
}
