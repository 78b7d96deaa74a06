import { Readable } from 'node:stream'
import type { Blob } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import type { Segment } from '../../src/upload/segment.js'
import type { ObjectRange } from './bucket.js'
import { lay, layOut, type Piece } from './pieces.js'
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
 * Where the bytes of a blob lie, all of them in objects. Segments that their writer left behind are made objects first, where
 * younger ones do not have their bytes anyway. Throws `blob_gone`, and `storage_failed` where a byte is missing.
 */
export async function locate(
  room: Storeroom,
  blob: Blob,
  start: number,
  stop: number,
): Promise<readonly Piece[]> {
  const pieces: Piece[] = []
  let missing = layOut([], start, stop).missing
  let failure: unknown = null
  for (const segment of await room.ledger.within(blob, start, stop)) {
    if (missing.length === 0) break
    if (missing.every(([, to]) => to <= segment.start)) continue
    const object = await sealed(room, segment).catch((error: unknown) => {
      failure ??= error
      return null
    })
    if (object === null) continue
    const found = lay(object, missing)
    pieces.push(...found.pieces)
    missing = found.missing
  }
  if (missing.length === 0) return pieces.sort((a, b) => a.start - b.start)
  // An assembly may have taken its place while it was looked at: that is no failure, and whoever reads looks again.
  if (!(await room.ledger.has(blob))) throw new UploadError('blob_gone', 'The bytes are no longer there.')
  throw failure === null ? brokenPromise() : storageError(failure)
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

/** As an object; null where it is none, and its writer may still be at it. What he writes is part of nothing yet. */
async function sealed(room: Storeroom, segment: Segment): Promise<Segment | null> {
  if (segment.state === 'sealed') return segment
  if (segment.state === 'open' && segment.alive) return null
  const stop = await seal(room, segment)
  return stop === null ? null : { ...segment, stop, state: 'sealed' }
}
