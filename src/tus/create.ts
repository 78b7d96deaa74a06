import { RequestError } from '../http/errors.js'
import type { Reply } from '../http/reply.js'
import { create as createUpload, createWithBody } from '../upload/create.js'
import type { UploadDraft } from '../upload/ports.js'
import type { ExpectedDigest } from '../upload/receive.js'
import type { Upload } from '../upload/upload.js'
import { bodyWithBytes } from './body.js'
import { checkEmpty, expectedDigest } from './checksum.js'
import { parseConcat } from './concat.js'
import { isOffsetType, requireOffsetType } from './content-type.js'
import { createFinal } from './create-final.js'
import type { Exchange, RequestBody } from './exchange.js'
import { expiresHeader } from './expires.js'
import { created, creating, finished, incoming, newId } from './hooks.js'
import { announcedBytes, integerHeader } from './integers.js'
import { locationOf } from './location.js'
import { checkLength, limitedEngine, maxSizeFor } from './max-size.js'
import { filenameOf, formatMetadata, parseMetadata } from './metadata.js'
import { progressOf } from './progress.js'
import type { Site } from './site.js'

/** POST: the creation extensions. A final goes its own way, as nothing of it is sent. */
export async function create(site: Site, exchange: Exchange, owner: string | null): Promise<Reply> {
  const concat = parseConcat(exchange.headers['upload-concat'])
  if (concat?.kind === 'final') return createFinal(site, exchange, owner, concat.urls)
  const length = lengthOf(exchange)
  const sent = parseMetadata(metadataHeader(exchange))
  const expected = expectedDigest(exchange)
  const body = await firstBody(exchange)

  const id = await newId(site, exchange, sent)
  const maxSize = await maxSizeFor(site, exchange, id)
  checkLength(length, maxSize)
  await incoming(site, exchange, owner, id)
  const metadata = await creating(site, exchange, { id, owner, length, metadata: sent })
  // Before anything is recorded: a generateUrl that fails must not leave uploads nobody can reach.
  const location = locationOf(site, exchange, id)
  const upload = await record(
    site,
    exchange,
    { maxSize, expected, body },
    {
      id,
      owner,
      kind: concat === null ? 'whole' : 'partial',
      protocol: 'tus',
      length,
      metadata: formatMetadata(metadata),
      filename: filenameOf(metadata),
    },
  )
  return answer(site, exchange, { upload, location, hadBody: body !== null })
}

export function metadataHeader(exchange: Exchange): string | undefined {
  const header = exchange.headers['upload-metadata']
  return header === undefined ? undefined : String(header)
}

/** tus 1.0.0, creation: "The Client MUST include" either Upload-Length or Upload-Defer-Length, whose "value MUST be 1". */
function lengthOf(exchange: Exchange): number | null {
  const length = integerHeader(exchange.headers, 'Upload-Length')
  const deferred = exchange.headers['upload-defer-length']
  if (deferred !== undefined && deferred !== '1') {
    throw new RequestError(
      'invalid_length',
      'Upload-Defer-Length must be 1; leave it out when the length is known.',
    )
  }
  if ((length === null) === (deferred === undefined)) {
    throw new RequestError(
      'invalid_length',
      'A creation needs Upload-Length, or Upload-Defer-Length: 1, and not both.',
    )
  }
  return length
}

/** tus 1.0.0, creation-with-upload: a POST with bytes "MUST include the Content-Type" of a PATCH. */
async function firstBody(exchange: Exchange): Promise<RequestBody | null> {
  if (isOffsetType(exchange.headers)) return exchange.body
  const body = await bodyWithBytes(exchange)
  if (body !== null) requireOffsetType(exchange.headers)
  return body
}

interface Content {
  readonly maxSize: number | null
  readonly expected: ExpectedDigest | null
  readonly body: RequestBody | null
}

async function record(site: Site, exchange: Exchange, content: Content, draft: UploadDraft): Promise<Upload> {
  const engine = limitedEngine(site.engine, content.maxSize)
  const { body, expected } = content
  if (body === null) {
    checkEmpty(expected)
    return createUpload(engine, draft)
  }
  const stopWatching = progressOf(site, exchange, 'POST', draft.id, 0)
  try {
    return await createWithBody(engine, draft, {
      source: body.source,
      announced: announcedBytes(exchange.headers),
      expected,
      signal: exchange.signal,
    })
  } finally {
    stopWatching()
  }
}

async function answer(
  site: Site,
  exchange: Exchange,
  { upload, location, hadBody }: { upload: Upload; location: string; hadBody: boolean },
): Promise<Reply> {
  created(site, exchange, upload, location)
  const reply: Reply = {
    status: 201,
    headers: {
      // A body that was cut short by us (drain, full disk) is answered with what was kept: the client goes on there.
      ...(hadBody && { 'Upload-Offset': String(upload.offset) }),
      ...expiresHeader(upload),
    },
    body: '',
  }
  const done = upload.status === 'complete' ? await finished(site, exchange, 'POST', upload, reply) : reply
  return withLocation(done, location)
}

/** RFC 9110 section 10.2.2 gives Location a meaning for 201 and 3xx only; a hook may have chosen another status. */
export function withLocation(reply: Reply, location: string): Reply {
  const fits = reply.status === 201 || (reply.status >= 300 && reply.status < 400)
  return fits ? { ...reply, headers: { Location: location, ...reply.headers } } : reply
}
