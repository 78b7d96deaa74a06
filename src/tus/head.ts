import type { Reply, ReplyHeaders } from '../http/reply.js'
import { inspect } from '../upload/inspect.js'
import type { Upload } from '../upload/upload.js'
import { formatFinal } from './concat.js'
import type { Exchange } from './exchange.js'
import { expiresHeader } from './expires.js'
import { incoming } from './hooks.js'
import type { Site } from './site.js'
import { requestedId } from './upload-id.js'

/** tus 1.0.0, HEAD: "The Server MUST prevent the client and/or proxies from caching the response". */
export const NOT_CACHED: ReplyHeaders = { 'Cache-Control': 'no-store' }

/** HEAD: where the client is to go on. */
export async function head(site: Site, exchange: Exchange, owner: string | null): Promise<Reply> {
  const id = requestedId(site, exchange)
  await incoming(site, exchange, owner, id)
  const upload = await inspect(site.engine, id, owner)
  const headers = {
    ...NOT_CACHED,
    ...offsetHeader(upload),
    ...lengthHeader(upload),
    ...metadataHeader(upload),
    ...concatHeader(upload),
    ...expiresHeader(upload),
  }
  return { status: 200, headers, body: null }
}

/** Other protocols have no metadata of this kind, but a name for the file. */
function metadataHeader({ metadata, filename, protocol }: Upload): ReplyHeaders {
  if (protocol === 'tus') return metadata === null ? {} : { 'Upload-Metadata': metadata }
  return filename === null
    ? {}
    : { 'Upload-Metadata': `filename ${Buffer.from(filename).toString('base64')}` }
}

/** Concatenation: a final "MUST NOT" have an Upload-Offset "until the concatenation has been finished". */
function offsetHeader(upload: Upload): ReplyHeaders {
  if (upload.kind === 'final' && upload.status !== 'complete') return {}
  return { 'Upload-Offset': String(upload.offset) }
}

function lengthHeader(upload: Upload): ReplyHeaders {
  if (upload.length !== null) return { 'Upload-Length': String(upload.length) }
  // A final has the length of its parts, which is not for the client to declare.
  return upload.kind === 'final' ? {} : { 'Upload-Defer-Length': '1' }
}

function concatHeader(upload: Upload): ReplyHeaders {
  if (upload.kind === 'partial') return { 'Upload-Concat': 'partial' }
  if (upload.kind === 'final') return { 'Upload-Concat': formatFinal(upload.partNames ?? []) }
  return {}
}
