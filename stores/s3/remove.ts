import { patiently } from '../../src/upload/patience.js'
import type { Segment } from '../../src/upload/segment.js'
import { unlessAborted } from '../../src/upload/unless-aborted.js'
import { keyOf, type Storeroom } from './storeroom.js'

/** Removed at a time. */
const LANES = 8

/** Removes the bytes of segments, and then their rows: what fails half-way is found by them again. */
export async function removeSegments(room: Storeroom, segments: readonly Segment[]): Promise<void> {
  if (segments.length === 0) return
  const waiting = segments.values()
  const lane = async () => {
    for (const segment of waiting) await removeBytes(room, segment)
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  await patiently(() => room.ledger.forget(segments.map(({ id }) => id)))
}

/**
 * Removes what a younger segment covers. Nothing depends on it, and whatever stays goes with its blob; so it is waited for until `signal`
 * aborts only, and may go on after that.
 */
export async function removeCovered(
  room: Storeroom,
  covered: readonly Segment[],
  signal: AbortSignal | undefined,
): Promise<void> {
  await unlessAborted(removeSegments(room, covered), signal).catch(() => undefined)
}

/** A segment that is not sealed may have become an object without anybody having been told. */
export async function removeBytes(
  room: Storeroom,
  segment: Pick<Segment, 'id' | 'blob' | 'writer' | 'uploadId'> & Partial<Segment>,
): Promise<void> {
  const key = keyOf(room, segment)
  if (segment.uploadId !== null && segment.state !== 'sealed') await room.bucket.abort(key, segment.uploadId)
  await room.bucket.remove(key)
}
