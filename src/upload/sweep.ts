import { discard } from './discard.js'
import type { Engine } from './engine.js'
import { isUploadError } from './errors.js'
import type { Expired } from './ports.js'
import { release } from './publishing.js'
import { retract } from './retract.js'

/** Rows a sweep takes at a time, so that no transaction grows with what piled up, and nobody waits long for one. */
const BATCH = 250

/** Uploads that end in one statement: of frago each may have 10,000 ranges, which go with it. */
const EXPIRED_AT_ONCE = 200

export interface Swept {
  readonly expired: number
  readonly removedBlobs: number
  readonly removedFiles: number
}

/**
 * Ends what is due and finishes what a crash interrupted: expired uploads, files to be published or taken back, blobs
 * whose rows say they are to go, files a dead epoch left without a row. Safe to run on any number of nodes at once.
 */
export async function sweep(engine: Engine, signal?: AbortSignal): Promise<Swept> {
  const expired = await expireDue(engine, signal)
  await retractRest(engine, signal)
  await releaseDue(engine, signal)
  const removedBlobs = await removeUnreferenced(engine, signal)
  const removedFiles = await sweepEpochs(engine, signal)
  // What may take long, as it may copy, comes after what makes room.
  await publishRest(engine, signal)
  return { expired, removedBlobs, removedFiles }
}

/** The bytes of one batch go while the database ends the next: neither waits for the other, and no more than one batch is behind. */
async function expireDue(engine: Engine, signal?: AbortSignal): Promise<number> {
  let count = 0
  let most = EXPIRED_AT_ONCE
  let removing: Promise<unknown> = Promise.resolve()
  const expireSome = async (): Promise<Expired> => {
    for (;;) {
      try {
        return await engine.registry.expireDue(most)
      } catch (error) {
        // So many may have had so many ranges that the database did not get through with them in time.
        const tooLong = isUploadError(error) && error.code === 'registry_unavailable'
        if (!tooLong || most === 1) throw error
        most = Math.ceil(most / 10)
      }
    }
  }
  try {
    while (!signal?.aborted) {
      const due = await expireSome()
      for (const upload of due.uploads) engine.events.tell('upload_expired', { upload })
      await removing
      removing = discard(engine, due.unreferenced)
      // It is awaited above or below; a failure meanwhile is not an unhandled one.
      removing.catch(() => undefined)
      count += due.uploads.length
      if (due.uploads.length === 0) break
    }
  } finally {
    await removing
  }
  return count
}

/** What a dead node, or one that had no more room, did not get done. */
async function publishRest(engine: Engine, signal?: AbortSignal): Promise<void> {
  if (engine.publisher === null) return
  for (const id of await engine.registry.unpublished(BATCH)) {
    if (signal?.aborted) return
    try {
      await engine.publishing.publish(id)
    } catch (error) {
      engine.log.warn({ err: error, upload: id }, 'a finished file could not be published yet')
    }
  }
}

async function retractRest(engine: Engine, signal?: AbortSignal): Promise<void> {
  while (engine.publisher !== null && !signal?.aborted) {
    const publications = await engine.registry.retractedPublications(BATCH)
    const removed = await retract(engine, publications)
    if (publications.length < BATCH || removed === 0) break
  }
}

async function releaseDue(engine: Engine, signal?: AbortSignal): Promise<void> {
  const { retainPublished } = engine.policy
  if (retainPublished === null) return
  while (!signal?.aborted && (await release(engine, retainPublished, BATCH)) === BATCH);
}

async function removeUnreferenced(engine: Engine, signal?: AbortSignal): Promise<number> {
  let count = 0
  while (!signal?.aborted) {
    const blobs = await engine.registry.unreferencedBlobs(BATCH)
    const removed = await discard(engine, blobs)
    count += removed
    // What cannot be removed now would be handed out again and again.
    if (blobs.length < BATCH || removed === 0) break
  }
  return count
}

async function sweepEpochs(engine: Engine, signal?: AbortSignal): Promise<number> {
  let count = 0
  for (const epoch of await engine.registry.retireEpochs()) {
    if (signal?.aborted) break
    count += await sweepEpoch(engine, epoch)
  }
  return count
}

/** An epoch that cannot be swept now is handed out again, and keeps no other from being swept. */
async function sweepEpoch(engine: Engine, epoch: number): Promise<number> {
  try {
    const count = await engine.bytes.sweepEpoch(epoch, (ids) => engine.registry.knownBlobs(epoch, ids))
    await engine.registry.epochSwept(epoch)
    return count
  } catch (error) {
    engine.log.warn({ err: error, epoch }, 'files of a dead epoch are left to the next sweep')
    return 0
  }
}
