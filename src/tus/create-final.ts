import { RequestError } from '../http/errors.js'
import type { Reply } from '../http/reply.js'
import { concatenate } from '../upload/concatenate.js'
import { UploadError } from '../upload/errors.js'
import type { Upload } from '../upload/upload.js'
import { bodyWithBytes } from './body.js'
import { parseParts } from './concat.js'
import { metadataHeader, withLocation } from './create.js'
import type { Exchange } from './exchange.js'
import { expiresHeader } from './expires.js'
import { created, creating, finished, incoming, newId } from './hooks.js'
import { locationOf } from './location.js'
import { maxSizeFor } from './max-size.js'
import { filenameOf, formatMetadata, parseMetadata } from './metadata.js'
import type { Site } from './site.js'

/**
 * POST of a final: parts by reference, in their order. The same request again gives the same address, and neither
 * tells listeners nor runs the hook for a finished file a second time (law 5).
 */
export async function createFinal(
  site: Site,
  exchange: Exchange,
  owner: string | null,
  urls: readonly string[],
): Promise<Reply> {
  await refuseContent(exchange)
  const parts = parseParts(site, exchange, urls)
  const sent = parseMetadata(metadataHeader(exchange))
  const request = { owner, parts, sent: formatMetadata(sent) }
  const made = await site.engine.registry.findFinal(request)
  const id = made?.id ?? (await newId(site, exchange, sent))
  // Who may ask at all is asked every time; only what is made once is told once.
  await incoming(site, exchange, owner, id)
  if (made !== null) return repetition(made, locationOf(site, exchange, id))
  const maxSize = await maxSizeFor(site, exchange, id)
  const metadata = await creating(site, exchange, { id, owner, length: null, metadata: sent })
  const location = locationOf(site, exchange, id)
  const { upload, repeated } = await concatenate(site.engine, {
    ...request,
    id,
    metadata: formatMetadata(metadata),
    filename: filenameOf(metadata),
    maxSize,
  })
  if (repeated) return repetition(upload, locationOf(site, exchange, upload.id))
  return answer(site, exchange, upload, location)
}

/** tus 1.0.0, concatenation: "The Client MUST NOT include the Upload-Length header in the final upload creation". */
async function refuseContent(exchange: Exchange): Promise<void> {
  const { headers } = exchange
  if (headers['upload-length'] !== undefined || headers['upload-defer-length'] !== undefined) {
    throw new RequestError(
      'invalid_length',
      'A final upload is as long as its parts: leave out Upload-Length and Upload-Defer-Length.',
    )
  }
  if (headers['upload-checksum'] !== undefined) {
    throw new RequestError('invalid_checksum', 'Upload-Checksum is for bodies, and a final upload has none.')
  }
  if ((await bodyWithBytes(exchange)) !== null) {
    throw new UploadError(
      'upload_is_final',
      'A final upload is made of its parts and takes no bytes of its own.',
    )
  }
}

function repetition(upload: Upload, location: string): Reply {
  return withLocation({ status: 201, headers: expiresHeader(upload), body: '' }, location)
}

async function answer(site: Site, exchange: Exchange, upload: Upload, location: string): Promise<Reply> {
  created(site, exchange, upload, location)
  const reply: Reply = { status: 201, headers: expiresHeader(upload), body: '' }
  const done = upload.status === 'complete' ? await finished(site, exchange, 'POST', upload, reply) : reply
  return withLocation(done, location)
}
