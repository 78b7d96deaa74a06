import type { IncomingHttpHeaders } from 'node:http'
import { finished, type Readable } from 'node:stream'
import { content } from '../upload/content.js'
import type { Engine } from '../upload/engine.js'
import type { Upload } from '../upload/upload.js'
import { contentDisposition } from './disposition.js'
import { ERROR_STATUS, RequestError } from './errors.js'
import { mayBeShown, mediaTypeOr } from './media-type.js'
import { evaluate, rangeApplies, type Validators } from './preconditions.js'
import { type ByteSpan, formatContentRange, parseRange } from './range.js'
import type { Reply, ReplyHeaders } from './reply.js'

/**
 * Uploaded bytes are somebody's, and shown under our origin: a browser that opens them runs nothing and loads
 * nothing, but still shows pictures, sound, film and plain text.
 */
const SAFE_TO_OPEN = {
  'X-Content-Type-Options': 'nosniff',
  'Content-Security-Policy':
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'",
}

export interface DownloadRequest {
  readonly headers: IncomingHttpHeaders
  /** Media type the client gave the file, unchecked. */
  readonly type: string | null
  /** Whether different people may get different answers here: then shared caches must not keep them. */
  readonly personal: boolean
}

/**
 * Answers a GET of a complete upload (RFC 9110): conditions first, then the range. Throws `precondition_failed`, and
 * what `content` fails with before its first byte. A failure after that breaks the stream.
 */
export async function download(engine: Engine, upload: Upload, request: DownloadRequest): Promise<Reply> {
  const length = lengthOf(upload)
  // The content of a complete upload never changes, so that its id is a strong validator.
  const validators: Validators = { etag: `"${upload.id}"`, modified: upload.completedAt }
  const state = evaluate(request.headers, validators)
  if (state === 'failed')
    throw new RequestError('precondition_failed', 'The file is not in the state asked for.')
  const headers = { ...stateHeaders(validators), ...cacheHeaders(request.personal) }
  if (state === 'not_modified') return { status: 304, headers, body: null }

  const range = rangeApplies(request.headers['if-range'], validators) ? request.headers.range : undefined
  const span = parseRange(range, length)
  if (span === 'unsatisfiable') return unsatisfiable(length)
  const part = span === 'whole' ? { start: 0, stop: length } : span
  return {
    status: span === 'whole' ? 200 : 206,
    headers: {
      ...headers,
      ...describe(upload, request.type),
      'Content-Length': String(part.stop - part.start),
      ...(span !== 'whole' && { 'Content-Range': formatContentRange(part, length) }),
    },
    body: await bodyOf(engine, upload, part),
  }
}

function lengthOf(upload: Upload): number {
  if (upload.status === 'complete' && upload.length !== null) return upload.length
  throw new RequestError(
    'content_not_ready',
    'This upload is not finished yet; it can be downloaded when it is.',
  )
}

function stateHeaders({ etag, modified }: Validators): ReplyHeaders {
  return { ETag: etag, ...(modified !== null && { 'Last-Modified': modified.toUTCString() }) }
}

/** A copy is asked about before it is used again, since the upload may have been deleted; asking costs a 304. */
function cacheHeaders(personal: boolean): ReplyHeaders {
  return { 'Cache-Control': personal ? 'private, no-cache' : 'no-cache' }
}

function describe(upload: Upload, type: string | null): ReplyHeaders {
  const mediaType = mediaTypeOr(type)
  return {
    'Accept-Ranges': 'bytes',
    'Content-Type': mediaType,
    'Content-Disposition': contentDisposition(
      mayBeShown(mediaType) ? 'inline' : 'attachment',
      upload.filename,
    ),
    ...SAFE_TO_OPEN,
  }
}

function unsatisfiable(length: number): Reply {
  return {
    status: ERROR_STATUS.range_not_satisfiable,
    headers: { 'Content-Range': `bytes */${length}`, 'Content-Type': 'text/plain; charset=utf-8' },
    body: `The file has ${length} bytes; the range asked for begins after its end.\n`,
  }
}

async function bodyOf(engine: Engine, upload: Upload, span: ByteSpan): Promise<Readable | null> {
  if (span.start === span.stop) return null
  const body = content(engine, upload.id, upload.owner, span)
  await firstBytes(body)
  return body
}

/** Waits until the stream has something to give, so that what fails before that can still be answered as an error. */
function firstBytes(body: Readable): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error | null) => {
      body.off('readable', ready)
      stopWatching()
      if (error) reject(error)
      else resolve()
    }
    const ready = () => settle()
    const stopWatching = finished(body, settle)
    body.once('readable', ready)
    // An error between here and the transport's own listener must not be uncaught; the transport still sees it.
    body.on('error', () => undefined)
  })
}
