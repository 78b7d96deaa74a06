import type { Segment } from '../../src/upload/segment.js'
import { removeSegments } from './remove.js'
import { seal } from './seal.js'
import { isUnknown } from './storage-error.js'
import { epochPrefix, type Storeroom, segmentIn } from './storeroom.js'

/** Segments looked at in one go. */
const BATCH = 500

type Known = (ids: readonly string[]) => Promise<ReadonlySet<string>>

/**
 * Removes what a dead epoch left without a row, and makes objects of what it left half-done: providers may be told to end multipart
 * uploads that take too long. Returns how many blobs and stray objects were removed.
 */
export async function sweepEpoch(room: Storeroom, epoch: number, known: Known): Promise<number> {
  let removed = 0
  let failure: unknown = null
  // One that cannot be done now keeps no other from being done; the epoch is swept again then.
  for (const step of [sweepSegments, sweepObjects, sweepUploads]) {
    try {
      removed += await step(room, epoch, known)
    } catch (error) {
      failure ??= error
    }
  }
  if (failure !== null) throw failure
  return removed
}

async function sweepSegments(room: Storeroom, epoch: number, known: Known): Promise<number> {
  const removed = new Set<string>()
  let failure: unknown = null
  let after: string | null = null
  for (;;) {
    const segments: readonly Segment[] = await room.ledger.writtenBy(epoch, after, BATCH)
    if (segments.length === 0) break
    const lost = await lostOf(room, epoch, segments, known)
    for (const { blob } of lost) removed.add(blob.id)
    const doomed = segments.filter(({ state }) => state === 'doomed')
    await removeSegments(room, [...new Set([...lost, ...doomed])])
    for (const segment of segments) {
      if (lost.includes(segment) || segment.state === 'sealed' || segment.state === 'doomed') continue
      await seal(room, segment).catch((error: unknown) => {
        failure ??= error
      })
    }
    after = segments.at(-1)?.id ?? null
  }
  if (failure !== null) throw failure
  return removed.size
}

/** Those whose blob has no row: of this epoch as the registry says, of others where their epoch has ended, too. */
async function lostOf(
  room: Storeroom,
  epoch: number,
  segments: readonly Segment[],
  known: Known,
): Promise<readonly Segment[]> {
  const own = segments.filter(({ blob }) => blob.epoch === epoch)
  const others = segments.filter(({ blob }) => blob.epoch !== epoch)
  const kept = await known([...new Set(own.map(({ blob }) => blob.id))])
  const abandoned = await room.ledger.abandoned(others.map(({ id }) => id))
  return [...own.filter(({ blob }) => !kept.has(blob.id)), ...others.filter(({ id }) => abandoned.has(id))]
}

/** Objects whose writer died before it could write the row. */
async function sweepObjects(room: Storeroom, epoch: number): Promise<number> {
  let removed = 0
  for await (const keys of room.bucket.keys(epochPrefix(room, epoch))) {
    for (const key of await strays(room, keys)) {
      await room.bucket.remove(key)
      removed += 1
    }
  }
  return removed
}

async function sweepUploads(room: Storeroom, epoch: number): Promise<number> {
  try {
    return await sweepListed(room, epoch)
  } catch (error) {
    // Some providers cannot list them. Those end multipart uploads by themselves that are not completed.
    if (isUnknown(error)) return 0
    throw error
  }
}

async function sweepListed(room: Storeroom, epoch: number): Promise<number> {
  let removed = 0
  for await (const uploads of room.bucket.uploads(epochPrefix(room, epoch))) {
    const stray = new Set(
      await strays(
        room,
        uploads.map(({ key }) => key),
      ),
    )
    for (const { key, uploadId } of uploads.filter(({ key }) => stray.has(key))) {
      await room.bucket.abort(key, uploadId)
      removed += 1
    }
  }
  return removed
}

/** Of keys, those that no row knows. What does not look like one of ours was put there by somebody else, and stays. */
async function strays(room: Storeroom, keys: readonly string[]): Promise<readonly string[]> {
  const ids = new Map(
    keys.flatMap((key) => {
      const id = segmentIn(key)
      return id === null ? [] : [[key, id] as const]
    }),
  )
  if (ids.size === 0) return []
  const known = await room.ledger.known([...ids.values()])
  return [...ids].filter(([, id]) => !known.has(id)).map(([key]) => key)
}
