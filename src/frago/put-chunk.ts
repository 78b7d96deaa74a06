import { RequestError } from '../http/errors.js'
import type { Reply } from '../http/reply.js'
import type { StoredChunk } from '../upload/chunk.js'
import { storeFile } from './chunk-file.js'
import { checkUpload, placeFor } from './chunk-place.js'
import { type ContentRange, parseContentRange, sizeOf } from './content-range.js'
import type { Exchange } from './exchange.js'
import { json } from './json-reply.js'
import type { Site } from './site.js'

/** PUT of an upload: one chunk, streamed to its place. Checks come in frago's order (NOTES section 5). */
export async function putChunk(
  site: Site,
  exchange: Exchange,
  id: string,
  owner: string | null,
): Promise<Reply> {
  const range = await rangeOf(site, exchange, id, owner)
  const place = await placeFor(site, id, owner, range)
  // Somebody who waits for the range must not wait for the rest of a body that brings nothing to it.
  const signal = AbortSignal.any([exchange.signal, place.signal])
  let settled = false
  try {
    checkSize(range, await storeFile({ ...exchange, signal }, place))
    settled = true
    return answer(range, await place.finish())
  } finally {
    if (!settled) await place.abandon()
  }
}

/** A header that says nothing useful is complained about only where there is an upload to send chunks to. */
async function rangeOf(
  site: Site,
  exchange: Exchange,
  id: string,
  owner: string | null,
): Promise<ContentRange> {
  try {
    return parseContentRange(exchange.request.headers['content-range'])
  } catch (error) {
    await checkUpload(site, id, owner, null)
    throw error
  }
}

function checkSize(range: ContentRange, size: number | null): void {
  if (size === null) throw new RequestError('invalid_request', 'No chunk provided')
  const expected = sizeOf(range)
  if (BigInt(size) === expected) return
  throw new RequestError('invalid_request', `Chunk size mismatch (expected ${expected}, got ${size})`)
}

function answer({ first, last }: ContentRange, { outcome }: StoredChunk): Reply {
  const [start, end] = [Number(first), Number(last)]
  const range = { start, end, size: end - start + 1 }
  if (outcome === 'stored') return json(200, { status: true, message: 'Chunk uploaded', ...range })
  const message = 'Duplicate chunk already uploaded; skipped'
  return json(200, { status: true, message, ...range, duplicate: true })
}
