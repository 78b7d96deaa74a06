import type { Readable } from 'node:stream'
import { onArrival } from '../http/arrival.js'
import { isUploadError } from '../upload/errors.js'
import { fieldsOf } from './body/fields.js'
import { openBody } from './body/open-body.js'
import { type FilePart, walkMultipart } from './body/walk-multipart.js'
import type { ChunkPlace } from './chunk-place.js'
import type { Exchange } from './exchange.js'

/** The form field a chunk comes in. */
const FILE = 'file'

/** Stores the file of the form; of several the last counts. Its size as it came, or null where there is none. */
export async function storeFile(exchange: Exchange, place: ChunkPlace): Promise<number | null> {
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
      if (name === FILE) size = await storePart(part, place, exchange)
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
  place: ChunkPlace,
  exchange: Exchange,
): Promise<number | null> {
  let size = content.readableLength
  const stop = onArrival(content, (bytes) => {
    size += bytes
  })
  try {
    await place.write(content, exchange.signal)
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
