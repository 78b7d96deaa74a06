import { Readable } from 'node:stream'
import type { Blob } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import type { Segment } from '../../src/upload/segment.js'
import type { ObjectRange } from './bucket.js'
import { type Piece, piecesOf } from './pieces.js'
import { seal } from './seal.js'
import { brokenPromise, isAbsent, storageError } from './storage-error.js'
import { keyOf, type Storeroom } from './storeroom.js'

/** An object may break off so often, without a byte in between, before that is an error. */
const TRIES = 4

/** Bytes `[start, stop)` of a blob, as a stream. */
export function readBlob(room: Storeroom, blob: Blob, start: number, stop: number): Readable {
  return Readable.from(bytes(room, blob, start, stop), { objectMode: false, highWaterMark: 1 })
}

async function* bytes(room: Storeroom, blob: Blob, start: number, stop: number): AsyncGenerator<Buffer> {
  if (start === stop) return
  for (const piece of await locate(room, blob, start, stop)) yield* objectBytes(room, rangeOf(room, piece))
}

/**
 * Where the bytes of a blob lie, all of them in objects. Segments that their writer left behind are made objects first. Throws
 * `blob_gone`, and `storage_failed` where a byte is missing.
 */
export async function locate(
  room: Storeroom,
  blob: Blob,
  start: number,
  stop: number,
): Promise<readonly Piece[]> {
  const segments = await sealed(room, await room.ledger.within(blob, start, stop))
  const pieces = piecesOf(segments, start, stop)
  if (pieces !== null) return pieces
  const all = await room.ledger.within(blob, 0, Number.MAX_SAFE_INTEGER)
  throw all.length === 0 ? new UploadError('blob_gone', 'The bytes are no longer there.') : brokenPromise()
}

export function rangeOf(room: Storeroom, { segment, start, stop }: Piece): ObjectRange {
  return { key: keyOf(room, segment), start: start - segment.start, stop: stop - segment.start }
}

/** Bytes of an object; goes on at the same byte when the connection breaks. */
export async function* objectBytes(room: Storeroom, range: ObjectRange): AsyncGenerator<Buffer> {
  let at = range.start
  for (let left = TRIES; at < range.stop; ) {
    let stream: Readable | null = null
    try {
      stream = await room.bucket.get({ ...range, start: at })
      for await (const chunk of stream) {
        at += (chunk as Buffer).length
        left = TRIES
        yield chunk as Buffer
      }
      if (at < range.stop) throw brokenPromise()
    } catch (error) {
      if (isAbsent(error) || --left === 0) throw storageError(error)
    } finally {
      stream?.destroy()
    }
  }
}

/** Those that are objects, of those whose writer may not be at them any more. What he still writes is part of nothing yet. */
async function sealed(room: Storeroom, segments: readonly Segment[]): Promise<readonly Segment[]> {
  const made: Segment[] = []
  for (const segment of segments) {
    if (segment.state === 'sealed') made.push(segment)
    else if (segment.state === 'closing' || !segment.alive) {
      const stop = await seal(room, segment).catch((error: unknown) => {
        throw storageError(error)
      })
      if (stop !== null) made.push({ ...segment, stop, state: 'sealed' })
    }
  }
  return made
}
