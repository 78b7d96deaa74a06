import type { Readable } from 'node:stream'
import { onArrival } from '../http/arrival.js'
import { RequestError } from '../http/errors.js'
import type { Reply } from '../http/reply.js'
import { type Chunk, openChunk, type StoredChunk } from '../upload/chunk.js'
import { expired, isUploadError, notFound, UploadError } from '../upload/errors.js'
import { fieldsOf } from './body/fields.js'
import { openBody } from './body/open-body.js'
import { type FilePart, walkMultipart } from './body/walk-multipart.js'
import { type ContentRange, checkWithin, parseContentRange } from './content-range.js'
import type { Exchange } from './exchange.js'
import { json } from './json-reply.js'
import type { Site } from './site.js'

/** The form field a chunk comes in. */
const FILE = 'file'

/** PUT of an upload: one chunk, streamed to its place. Checks come in frago's order (NOTES section 5). */
export async function putChunk(
  site: Site,
  exchange: Exchange,
  id: string,
  owner: string | null,
): Promise<Reply> {
  const range = await rangeOf(site, exchange, id, owner)
  const chunk = await open(site, id, owner, range)
  let settled = false
  try {
    const size = await storeFile(exchange, chunk)
    if (size === null) throw new RequestError('invalid_request', 'No chunk provided')
    if (size !== chunk.size) {
      const counts = `expected ${chunk.size}, got ${size}`
      throw new RequestError('invalid_request', `Chunk size mismatch (${counts})`)
    }
    settled = true
    return answer(range, await chunk.finish())
  } finally {
    if (!settled) await chunk.abandon()
  }
}

/** A header that says nothing useful is complained about only where there is an upload to send chunks to. */
async function rangeOf(
  site: Site,
  exchange: Exchange,
  id: string,
  owner: string | null,
): Promise<ContentRange> {
  let range: ContentRange | null = null
  try {
    range = parseContentRange(exchange.request.headers['content-range'])
    checkWithin(range)
    return range
  } catch (error) {
    const found = await site.engine.registry.find(id, owner)
    if (found === null) throw notFound()
    if (found.upload.status === 'expired') throw expired()
    if (range !== null && range.total !== found.upload.length) throw totalMismatch()
    throw error
  }
}

async function open(site: Site, id: string, owner: string | null, range: ContentRange): Promise<Chunk> {
  const { first, last, total } = range
  try {
    return await openChunk(site.engine, {
      id,
      owner,
      protocol: 'frago',
      start: first,
      stop: last + 1,
      length: total,
    })
  } catch (error) {
    if (!isUploadError(error)) throw error
    if (error.code === 'length_conflict') throw totalMismatch(error)
    // A complete upload refuses every chunk, and one of another file is told so first.
    if (error.code === 'upload_finished') await checkTotal(site, id, owner, total)
    throw error
  }
}

async function checkTotal(site: Site, id: string, owner: string | null, total: number): Promise<void> {
  const found = await site.engine.registry.find(id, owner)
  if (found !== null && found.upload.length !== total) throw totalMismatch()
}

function totalMismatch(cause?: unknown): UploadError {
  return new UploadError('length_conflict', 'Total size mismatch', { cause })
}

/** Stores the file of the form; of several the last counts. Its size as it came, or null where there is none. */
async function storeFile(exchange: Exchange, chunk: Chunk): Promise<number | null> {
  const body = await openBody(exchange)
  if (body === null) return null
  if (body.kind !== 'multipart') {
    // Text cannot be a chunk; that it can be read is asked for all the same.
    await fieldsOf(body, exchange.signal)
    return null
  }
  let size: number | null = null
  await walkMultipart(body, exchange.signal, {
    field: () => undefined,
    file: async (name, part) => {
      if (name === FILE) size = await storePart(part, chunk, exchange)
      else await drain(part.content)
    },
  })
  return size
}

/**
 * The bytes of a part; those beyond the size of the chunk are counted, so that the answer can say how many there were.
 * Null where the body ends within the part: frago sees no file in that.
 */
async function storePart(
  { content, isWhole }: FilePart,
  chunk: Chunk,
  exchange: Exchange,
): Promise<number | null> {
  let size = content.readableLength
  const stop = onArrival(content, (bytes) => {
    size += bytes
  })
  try {
    await chunk.write(content, exchange.signal)
  } catch (error) {
    const brokeOff = isUploadError(error) && error.code === 'request_incomplete'
    if (!brokeOff || !exchange.request.complete) throw error
  }
  await drain(content)
  stop()
  if (!isWhole()) return null
  if (content.errored) throw content.errored
  return size
}

/** Reads a part to its end, or to where it breaks off, which the walk then reports. */
function drain(part: Readable): Promise<void> {
  return new Promise((resolve) => {
    if (part.readableEnded || part.destroyed) return resolve()
    part
      .once('end', resolve)
      .once('error', () => resolve())
      .once('close', resolve)
    part.resume()
  })
}

function answer({ first, last }: ContentRange, { outcome }: StoredChunk): Reply {
  const range = { start: first, end: last, size: last - first + 1 }
  if (outcome === 'stored') return json(200, { status: true, message: 'Chunk uploaded', ...range })
  const message = 'Duplicate chunk already uploaded; skipped'
  return json(200, { status: true, message, ...range, duplicate: true })
}
