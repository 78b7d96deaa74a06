import { expired, notFound, OffsetMismatch, UploadError } from '../../../src/upload/errors.js'
import type { ClaimRequest } from '../../../src/upload/ports.js'
import { newBlob } from './blobs.js'
import { type ClaimRow, type ExtentRow, overlaps, prefixEnd, type Session, type UploadRow } from './rows.js'
import type { Tables } from './tables.js'

/** Null when a living writer holds an overlapping range. */
export function claim(db: Tables, session: Session, request: ClaimRequest): ClaimRow | null {
  const row = writable(db, request)
  const wanted = { start: request.start, stop: request.stop ?? row.length }
  const others = db.claimsOn(row.id).filter((other) => row.protocol === 'tus' || overlaps(other, wanted))
  if (others.some((other) => db.living(other.epoch))) return null
  checkStart(row, request)
  const length = settledLength(row, request.declaredLength)
  if (length !== null && row.length === null) checkWaiting(db, row, length)
  row.length = length
  for (const { token } of others) db.claims.delete(token)
  const place =
    row.protocol === 'tus'
      ? appendPlace(db, session, row, others.length > 0)
      : rangePlace(db, session, row, request.start)
  const made: ClaimRow = {
    token: db.serial(),
    uploadId: row.id,
    epoch: session.epoch,
    start: request.start,
    stop: request.stop ?? length,
    ...place,
  }
  db.claims.set(made.token, made)
  return made
}

function writable(db: Tables, request: ClaimRequest): UploadRow {
  const row = db.owned(request.id, request.owner)
  if (row === null) throw notFound()
  if (row.kind === 'final')
    throw new UploadError('upload_is_final', 'A final upload takes no bytes of its own.')
  if (db.statusOf(row) === 'expired') throw expired()
  if (row.protocol !== request.protocol) {
    throw new UploadError('wrong_protocol', `This upload was started through ${row.protocol}.`)
  }
  return row
}

function checkStart(row: UploadRow, request: ClaimRequest): void {
  const offset = prefixEnd(row.received)
  if (row.protocol === 'tus') {
    if (request.start !== offset) throw new OffsetMismatch(request.start, offset)
  }
  if (row.status === 'complete') throw new UploadError('upload_finished', 'This upload is finished.')
  if (row.protocol === 'tus') return
  const range = { start: request.start, stop: request.stop ?? row.length }
  if (row.received.some((span) => overlaps(span, range))) {
    throw new UploadError('range_conflict', 'Some of these bytes were received before.')
  }
}

function settledLength(row: UploadRow, declared: number | null): number | null {
  if (declared === null) return row.length
  if (row.length !== null && row.length !== declared) {
    throw new UploadError('length_conflict', `The upload has ${row.length} bytes, not ${declared}.`)
  }
  const received = row.received.at(-1)?.stop ?? 0
  if (declared < received) {
    throw new UploadError(
      'length_conflict',
      `The upload already has ${received} bytes, more than ${declared}.`,
    )
  }
  return declared
}

/** The finals that wait for a part have limits of their own. */
function checkWaiting(db: Tables, part: UploadRow, length: number): void {
  for (const final of db.waitingFinals(part.id)) {
    const lengths = (final.parts ?? []).map(({ id }) =>
      id === part.id ? length : (db.uploads.get(id)?.length ?? 0),
    )
    if (lengths.reduce((sum, each) => sum + each, 0) <= final.most) continue
    throw new UploadError('size_exceeded', 'A final would be longer than it may be.')
  }
}

interface Place {
  readonly blobId: string
  readonly blobOffset: number
}

/**
 * An append goes on in the last blob, unless its last holder never handed it back: that one may still be writing
 * there, so what it recorded stays and the rest goes to a blob of its own.
 */
function appendPlace(db: Tables, session: Session, row: UploadRow, takenOver: boolean): Place {
  const offset = prefixEnd(row.received)
  const last = row.extents.at(-1)
  if (last !== undefined && !takenOver) {
    return { blobId: last.blobId, blobOffset: last.blobOffset + offset - last.start }
  }
  const { id } = newBlob(db, session.epoch).blob
  const kept = row.extents
    .map((extent): ExtentRow => ({ ...extent, stop: extent.stop ?? offset }))
    .filter((extent) => extent.start < offset)
  row.extents = [...kept, { start: offset, stop: null, blobId: id, blobOffset: 0 }]
  return { blobId: id, blobOffset: 0 }
}

/** Ranges of one epoch share a blob; ranges of another go to another, because a blob has one writing epoch. */
function rangePlace(db: Tables, session: Session, row: UploadRow, start: number): Place {
  const used = [...row.extents, ...db.claimsOn(row.id)].map(({ blobId }) => blobId)
  const own = used.find((id) => db.blobs.get(id)?.blob.epoch === session.epoch)
  return { blobId: own ?? newBlob(db, session.epoch).blob.id, blobOffset: start }
}
