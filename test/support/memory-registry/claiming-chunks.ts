import { randomUUID } from 'node:crypto'
import { UploadError } from '../../../src/upload/errors.js'
import type { ClaimRequest } from '../../../src/upload/ports.js'
import { blobRow, extentsBetween, lay, newBlob } from './blobs.js'
import { settledLength } from './declaring.js'
import { type ClaimRow, type ExtentRow, overlaps, type Session, type Span, type UploadRow } from './rows.js'
import type { Tables } from './tables.js'

/** A chunk may begin where a received one begins, and then is to replace it; no other may be touched. */
export function claimChunk(
  db: Tables,
  session: Session,
  row: UploadRow,
  request: ClaimRequest,
): ClaimRow | null {
  const asked = checkedRange(row, request)
  const old = row.received.find(({ start }) => start === asked.start)
  const range = { start: asked.start, stop: Math.max(asked.stop, old?.stop ?? 0) }
  const others = db.claimsOn(row.id).filter((other) => overlaps(other, range))
  if (others.some((other) => db.living(other.epoch))) return null
  row.length = settledLength(row, request.declaredLength)
  for (const { token } of others) db.claims.delete(token)
  const writing = others.filter(({ epoch, replaces }) => replaces === null && !db.writesNoMore(epoch))
  const made: ClaimRow = {
    token: db.serial(),
    uploadId: row.id,
    epoch: session.epoch,
    ...range,
    ...(old
      ? replacementPlace(db, session, row, old, writing)
      : chunkPlace(db, session, row, range, writing)),
  }
  db.claims.set(made.token, made)
  return made
}

export function finished(): UploadError {
  return new UploadError('upload_finished', 'This upload is finished.')
}

function checkedRange(row: UploadRow, { start, stop, declaredLength }: ClaimRequest): Span {
  if (row.status === 'complete') throw finished()
  settledLength(row, declaredLength)
  const range = { start, stop: stop ?? row.length ?? 0 }
  const others = row.received.filter((span) => span.start !== start)
  const outside = range.stop <= start || range.stop > (row.length ?? Infinity)
  if (!outside && !others.some((span) => overlaps(span, range))) return range
  throw new UploadError('range_conflict', 'The range overlaps received bytes, or ends too late.')
}

type Place = Pick<ClaimRow, 'blob' | 'blobOffset' | 'replaces'>

/** Its blob has no row before it is recorded. */
function replacementPlace(
  db: Tables,
  session: Session,
  row: UploadRow,
  old: Span,
  writing: readonly ClaimRow[],
): Place {
  for (const { start, stop } of writing) lay(row, start, stop, newBlob(db, session.epoch).blob.id)
  return {
    blob: { id: randomUUID(), epoch: session.epoch },
    blobOffset: 0,
    replaces: { stop: old.stop, extents: extentsBetween(db, row, old.start, old.stop) },
  }
}

/** All chunks go to one blob; what a holder may still be writing to is left to it, with all its range. */
function chunkPlace(
  db: Tables,
  session: Session,
  row: UploadRow,
  range: Span,
  writing: readonly ClaimRow[],
): Place {
  const at = extentAt(row, range.start)
  if (at === undefined) lay(row, 0, row.length, newBlob(db, session.epoch).blob.id)
  else if (writing.length > 0) {
    const start = Math.min(range.start, ...writing.map((claim) => claim.start))
    const stop = Math.max(range.stop, ...writing.map((claim) => claim.stop ?? 0))
    lay(row, start, stop, newBlob(db, session.epoch).blob.id)
  } else if ((at.stop ?? Infinity) < range.stop) {
    lay(row, range.start, range.stop, newBlob(db, session.epoch).blob.id)
  }
  const place = extentAt(row, range.start)
  if (place === undefined) throw new Error('a chunk has no place')
  return {
    blob: blobRow(db, place.blobId).blob,
    blobOffset: place.blobOffset + range.start - place.start,
    replaces: null,
  }
}

function extentAt(row: UploadRow, start: number): ExtentRow | undefined {
  return row.extents.findLast((extent) => extent.start <= start)
}
