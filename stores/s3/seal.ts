import { patiently } from '../../src/upload/patience.js'
import type { Closed, Segment, SegmentPart } from '../../src/upload/segment.js'
import type { HeldParts } from './bucket.js'
import { removeCovered } from './remove.js'
import { absent } from './storage-error.js'
import { keyOf, type Storeroom } from './storeroom.js'

/**
 * Makes an object of a segment of parts: its writer when he is through, or anybody once he is gone. What he sends from then on
 * counts no more, as a part is recorded in open segments only, and only recorded parts become the object. Resolves with its end;
 * null when nothing had been recorded, and the segment is gone. Given up, it is left to the next who needs it.
 */
export async function seal(room: Storeroom, segment: Segment, signal?: AbortSignal): Promise<number | null> {
  const { bucket, ledger } = room
  const uploadId = segment.uploadId ?? ''
  const closed = await patiently(() => ledger.close(segment.id))
  if (closed === null) {
    await bucket.abort(keyOf(room, segment), uploadId, signal)
    return null
  }
  // Sealed meanwhile by somebody else, where there are none.
  if (closed.parts.length > 0) await complete(room, segment, uploadId, closed, signal)
  const covered = await patiently(() => ledger.seal(segment.id))
  await removeCovered(room, covered, signal)
  return closed.stop
}

async function complete(
  room: Storeroom,
  segment: Segment,
  uploadId: string,
  closed: Closed,
  signal: AbortSignal | undefined,
): Promise<void> {
  const key = keyOf(room, segment)
  try {
    await room.bucket.complete(key, uploadId, closed.parts, signal)
  } catch (error) {
    signal?.throwIfAborted()
    // Whoever lost the answer, or came second, finds the object. Nobody else writes under its key; a 404 would prove nothing.
    if ((await room.bucket.size(key, signal)) === closed.stop - segment.start) return
    const parts = asHeld(await room.bucket.parts(key, uploadId, signal), closed.parts)
    if (parts === null) throw error
    await room.bucket.complete(key, uploadId, parts, signal)
  }
  // Whoever is told that it is sealed may remove what it was copied from.
  const size = await room.bucket.size(key, signal)
  if (size === null) throw absent()
  if (size !== closed.stop - segment.start)
    throw new Error(`an object has ${size} bytes instead of ${closed.stop - segment.start}`)
}

/**
 * The parts by the names that the provider has for them now: a try that was given up and arrived after the one that was confirmed has
 * the same bytes, and may have another ETag. Null where that explains nothing.
 */
function asHeld(held: HeldParts, parts: readonly SegmentPart[]): readonly SegmentPart[] | null {
  if (parts.some(({ number, bytes }) => held.get(number)?.bytes !== bytes)) return null
  const named = parts.map((part) => ({ ...part, ...held.get(part.number), bytes: part.bytes }))
  return named.some(({ etag }, index) => etag !== parts[index]?.etag) ? named : null
}
