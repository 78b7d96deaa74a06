import { randomUUID } from 'node:crypto'
import type { Blob, Extent } from '../../src/upload/blob.js'
import { extentsLength } from '../../src/upload/extents-length.js'
import type { AssembleOptions } from '../../src/upload/ports.js'
import type { Segment } from '../../src/upload/segment.js'
import { Assembling, Reported } from './assembling.js'
import { partBytesFor } from './part-grid.js'
import type { Placed } from './part-plan.js'
import { locate, rangeOf } from './read.js'
import { headersFor, record } from './record.js'
import { removeSegments } from './remove.js'
import { seal } from './seal.js'
import { isAbsent, storageError } from './storage-error.js'
import { keyOf, type Storeroom } from './storeroom.js'

/**
 * Makes one object of extents: each part of its grid that lies in one object is copied by the provider, only those that span two or more pass
 * through this process. Parts that were made before are not made again, whoever made them.
 */
export async function assemble(
  room: Storeroom,
  target: Blob,
  extents: readonly Extent[],
  options: AssembleOptions,
): Promise<'done' | 'stopped'> {
  const total = extentsLength(extents, options.copied)
  try {
    const found = await room.ledger.within(target, 0, total)
    const whole = found.filter(({ start, stop }) => start === 0 && stop === total)
    if (!whole.some(({ state }) => state === 'sealed')) {
      const closing = whole.find(({ state }) => state === 'closing')
      // All parts are there: only its end failed, or was not heard of.
      if (closing !== undefined) await begun(room, closing, () => seal(room, closing))
      else if ((await make(room, target, { extents, total, found }, options)) === 'stopped') return 'stopped'
    }
  } catch (error) {
    throw error instanceof Reported ? error.cause : storageError(error)
  }
  return (await options.onCopied(total)) ? 'done' : 'stopped'
}

/** The one that somebody began, or a new one, younger than whatever else the target has. */
async function begin(
  room: Storeroom,
  target: Blob,
  { total, found }: { readonly total: number; readonly found: readonly Segment[] },
): Promise<Segment> {
  const partBytes = partBytesFor(total, room.maxParts)
  const open = found.find((one) => one.state === 'open' && one.start === 0 && one.partBytes === partBytes)
  if (open !== undefined) return open
  const made = { id: randomUUID(), blob: target, writer: room.epoch(), start: 0 }
  const uploadId = await room.bucket.begin(keyOf(room, made), await headersFor(room, target), false)
  const segment = { ...made, stop: null, uploadId, partBytes }
  await record(room, segment)
  return { ...segment, state: 'open', alive: true }
}

async function make(
  room: Storeroom,
  target: Blob,
  content: {
    readonly extents: readonly Extent[]
    readonly total: number
    readonly found: readonly Segment[]
  },
  options: AssembleOptions,
): Promise<'done' | 'stopped'> {
  const { total } = content
  const runs = await runsOf(room, content.extents)
  const segment = await begin(room, target, content)
  return begun(room, segment, async () => {
    const made = await new Assembling(room, segment, { runs, total }, options).run()
    if (made === 'done') await seal(room, segment)
    return made
  })
}

/** What `work` does with a multipart upload that may have ended. */
async function begun<T>(room: Storeroom, segment: Segment, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    // Ended by the provider, or by somebody who cleared up: the next try has to begin a new one.
    if (await isEnded(room, segment)) await removeSegments(room, [segment])
    throw error
  }
}

async function isEnded(room: Storeroom, segment: Segment): Promise<boolean> {
  try {
    await room.bucket.parts(keyOf(room, segment), segment.uploadId ?? '')
    return false
  } catch (error) {
    return isAbsent(error) && (await room.bucket.size(keyOf(room, segment)).catch(() => 0)) === null
  }
}

async function runsOf(room: Storeroom, extents: readonly Extent[]): Promise<readonly Placed[]> {
  const runs: Placed[] = []
  for (const { start, stop, blob, blobOffset } of extents) {
    for (const piece of await locate(room, blob, blobOffset, blobOffset + stop - start)) {
      const { segment } = piece
      const whole = (segment.stop ?? segment.start) - segment.start
      runs.push({ ...rangeOf(room, piece), whole, at: start + piece.start - blobOffset })
    }
  }
  return runs
}
