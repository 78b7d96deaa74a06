import type { Blob } from '../../src/upload/blob.js'
import { isUploadError } from '../../src/upload/errors.js'
import { patiently } from '../../src/upload/patience.js'
import type { NewSegment, Subject } from '../../src/upload/segment.js'
import type { ObjectHeaders } from './bucket.js'
import { removeBytes, removeCovered } from './remove.js'
import type { Storeroom } from './storeroom.js'

/** The row of what was just put or begun; and what it covers, which was never part of an upload, goes. */
export async function record(room: Storeroom, segment: NewSegment, signal?: AbortSignal): Promise<void> {
  const covered = await patiently(() => room.ledger.add(segment)).catch(async (error: unknown) => {
    // Without a row nobody would find it again: the epoch it was put under may have been swept before. With that, its claims are gone, so that
    // nobody waits for the upload meanwhile.
    if (isUploadError(error) && error.code === 'claim_lost')
      await removeBytes(room, segment).catch(() => undefined)
    throw error
  })
  await removeCovered(room, covered, signal)
}

/** What an object of a blob says of itself. `subject`: of what upload it is, where that is known before any row. */
export async function headersFor(
  room: Storeroom,
  blob: Blob,
  subject: Subject | null = null,
): Promise<ObjectHeaders> {
  const known = subject ?? (await patiently(() => room.ledger.subject(blob)))
  return known === null ? {} : room.headersOf(known)
}
