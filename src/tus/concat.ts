import type { ServerOptions } from '@tus/server'
import { RequestError } from '../http/errors.js'
import { pathOf } from '../http/target.js'
import { UploadError } from '../upload/errors.js'
import { isUploadId, type UploadId } from '../upload/upload.js'
import type { Exchange } from './exchange.js'
import { hookRequest } from './hook-request.js'
import type { Site } from './site.js'
import { decode, extractId } from './upload-id.js'

export interface Part {
  readonly id: UploadId
  /** The URL exactly as received. */
  readonly name: string
}

export type Concat =
  | { readonly kind: 'partial' }
  | { readonly kind: 'final'; readonly urls: readonly string[] }

/** As S3 has it; the extents of more would cost every reader. */
const MOST_PARTS = 10_000

/** Null when the upload has nothing to do with concatenation. */
export function parseConcat(header: string | string[] | undefined): Concat | null {
  if (header === undefined) return null
  const text = String(header)
  if (text === 'partial') return { kind: 'partial' }
  if (!text.startsWith('final;')) throw invalid('it must be "partial", or "final;" and the URLs of the parts')
  // Some clients set a space after the semicolon, and none of them could mean a part by it.
  const urls = text
    .slice('final;'.length)
    .split(' ')
    .filter((url) => url !== '')
  if (urls.length === 0)
    throw invalid('"final;" must be followed by the URLs of the parts, separated by spaces')
  if (urls.length > MOST_PARTS) {
    throw new UploadError(
      'too_many_parts',
      `A final upload may have up to ${MOST_PARTS} parts, not ${urls.length}.`,
    )
  }
  return { kind: 'final', urls }
}

function invalid(what: string): RequestError {
  return new RequestError('invalid_concat', `Upload-Concat is not understood: ${what}.`)
}

/** The parts a final names, by id. Whether they are there, and the client's, is the registry's to say. */
export function parseParts(site: Site, exchange: Exchange, urls: readonly string[]): readonly Part[] {
  return urls.map((url, index) => {
    const id = partId(site, exchange, url)
    if (id !== null) return { id, name: url }
    throw invalid(`entry ${index + 1} is not the address of an upload on this server`)
  })
}

/**
 * tus 1.0.0: "The partial uploads URLs MAY be absolute or relative". Host and query are ignored, as this server may
 * have many names; the path must be the one uploads have here, segment by segment, so that none can climb out
 * (edihasaj/tuspyserver#93). A bare id is understood too: it keeps the header of a final with many parts short.
 */
function partId(site: Site, exchange: Exchange, url: string): UploadId | null {
  // RFC 3986 has no other characters in a URL, and what is stored here goes back into a header.
  if (!/^[!-~]+$/.test(url)) return null
  const reference = url.replace(/^https?:\/\/[^/?#]+(?=\/)/i, '')
  if (/^[a-z][a-z0-9+.-]*:/i.test(reference)) return null
  const segments = pathOf(reference).replace(/\/$/, '').split('/').map(decode)
  if (segments.some((segment) => segment === null || /[/\\\0]/.test(segment))) return null
  const [root = '', ...names] = segments as readonly string[]
  if (names.length > 0 && !(root === '' && isHere(site.options, names.slice(0, -1)))) return null
  return extractId(site.options, names.at(-1) ?? root, () => hookRequest(exchange))
}

/**
 * Whether uploads of this server lie in these folders. Further folders may come before its own: a proxy that serves
 * it below a path of its own and rewrites Location need not tell us (tusd#1227).
 */
function isHere(options: ServerOptions, folders: readonly string[]): boolean {
  if (folders.some((folder) => folder === '' || folder === '.' || folder === '..')) return false
  // A site that makes its own URLs knows alone which paths are its own.
  if (hasOwnUrls(options)) return true
  const own = options.path.split('/').filter((segment) => segment !== '')
  const before = folders.slice(0, folders.length - own.length)
  return before.every(isPlain) && folders.slice(before.length).join('/') === own.join('/')
}

/** Not two addresses with a comma between them, say: parts would be lost in silence. */
function isPlain(folder: string): boolean {
  return /^[\w.~-]+$/.test(folder) && !isUploadId(folder)
}

function hasOwnUrls(options: ServerOptions): boolean {
  return options.generateUrl !== undefined || options.getFileIdFromRequest !== undefined
}

/** The header's value, as the client sent it. */
export function formatFinal(partNames: readonly string[]): string {
  return `final;${partNames.join(' ')}`
}
