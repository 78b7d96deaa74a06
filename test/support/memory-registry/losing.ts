import type { Blob } from '../../../src/upload/blob.js'
import { lay, newBlob } from './blobs.js'
import { overlaps, type Session, type Span, type UploadRow } from './rows.js'
import type { Tables } from './tables.js'

/** What lay in a blob whose bytes are gone is received no more, and is to lie in one without bytes. */
export function forgetLost(db: Tables, session: Session, id: string, { id: lost }: Blob): boolean {
  const row = db.uploads.get(id)
  if (row === undefined || db.statusOf(row) !== 'in_progress') return false
  const places = row.extents.filter(({ blobId }) => blobId === lost)
  const [first] = places
  if (first === undefined) return false
  const touched = row.protocol === 'tus' ? [{ start: first.start, stop: null }] : places
  const isTouched = (span: { start: number; stop: number | null }) =>
    touched.some((each) => overlaps(each, span))
  row.digests.clear()
  for (const claim of db.claimsOn(id).filter(isTouched)) {
    db.claims.delete(claim.token)
    db.signals.emit('yield', id, claim.token)
  }
  for (const [token, span] of row.recorded) if (isTouched(span)) row.recorded.delete(token)
  const { blob } = newBlob(db, session.epoch)
  if (row.protocol === 'tus') {
    lay(row, first.start, null, blob.id)
    row.received = upTo(row, first.start)
  } else {
    row.extents = row.extents.map((each) => (each.blobId === lost ? { ...each, blobId: blob.id } : each))
    row.received = row.received.filter((span) => !isTouched(span))
  }
  db.signals.emit('handedBack', id)
  return true
}

function upTo(row: UploadRow, end: number): Span[] {
  return row.received
    .map(({ start, stop }) => ({ start, stop: Math.min(stop, end) }))
    .filter(({ start, stop }) => stop > start)
}
