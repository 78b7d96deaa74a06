import type { Blob } from '../../../src/upload/blob.js'
import { notFound, UploadError } from '../../../src/upload/errors.js'
import type { Claim, Recorded } from '../../../src/upload/ports.js'
import { addBlob, blobRow, extentsBetween, lay, unreferenced } from './blobs.js'
import { completeIfWhole } from './completing.js'
import { type ClaimRow, type Session, type UploadRow, withChunk, withRange } from './rows.js'
import type { Tables } from './tables.js'

export function checkpoint(
  db: Tables,
  session: Session,
  progress: readonly { readonly claim: Claim; readonly stop: number }[],
): number[] {
  const lost: number[] = []
  for (const { claim, stop } of progress) {
    const row = db.uploads.get(claim.uploadId)
    const held = holding(db, claim)
    if (row?.protocol !== 'tus' || held === null) lost.push(claim.token)
    else append(db, session, row, held, stop)
  }
  return lost
}

export function record(db: Tables, session: Session, claim: Claim, stop: number): Recorded {
  const row = db.uploads.get(claim.uploadId)
  if (row === undefined) throw notFound()
  const held = holding(db, claim)
  if (held === null) return recordedBefore(row, claim, stop)
  const unreferenced = receive(db, session, row, held, stop)
  db.claims.delete(held.token)
  const { completed, finals } = completeIfWhole(db, session, row)
  db.signals.emit('handedBack', row.id)
  const completedFinals = finals.map((final) => db.view(final))
  const answer = { upload: db.view(row), unreferenced, completed, completedFinals }
  for (const [token, { start }] of row.recorded) {
    if (row.protocol === 'tus' || start === held.start) row.recorded.delete(token)
  }
  row.recorded.set(claim.token, { start: held.start, stop, answer })
  return answer
}

/** The same call again, because its answer was lost, gets the same answer. */
function recordedBefore(row: UploadRow, claim: Claim, stop: number): Recorded {
  const before = row.recorded.get(claim.token)
  if (before?.stop === stop) return before.answer
  throw lost()
}

function lost(): UploadError {
  return new UploadError('claim_lost', 'Another request took over this upload.')
}

export function release(db: Tables, claim: Claim): void {
  if (db.claims.delete(claim.token)) db.signals.emit('handedBack', claim.uploadId)
}

/** A claim whose lease lapsed still counts until somebody takes it over: what it stored has a row, and is no one else's. */
function holding(db: Tables, claim: Claim): ClaimRow | null {
  return db.claims.get(claim.token) ?? null
}

/** Returns the blobs that nothing refers to since. */
function receive(db: Tables, session: Session, row: UploadRow, held: ClaimRow, stop: number): Blob[] {
  if (row.protocol === 'tus') append(db, session, row, held, stop)
  else if (held.replaces !== null) return replace(db, row, held, stop)
  else if (stop > held.start) {
    checkEnd(held, stop)
    row.received = withChunk(row.received, { start: held.start, stop })
    blobRow(db, held.blob.id).written = true
  }
  return []
}

function append(db: Tables, session: Session, row: UploadRow, held: ClaimRow, stop: number): void {
  if (stop <= held.start) return
  row.received = withRange(row.received, { start: held.start, stop })
  blobRow(db, held.blob.id).written = true
  row.expiresAt = db.now() + session.expiration
}

/** The chunk that was there before gives way to one in a blob of its own, which gets its row here. */
function replace(db: Tables, row: UploadRow, held: ClaimRow, stop: number): Blob[] {
  if (db.epochs.get(held.blob.epoch)?.retired) throw lost()
  if (stop <= held.start) return []
  checkEnd(held, stop)
  const old = extentsBetween(db, row, held.start, stop).map(({ blob }) => blob.id)
  addBlob(db, held.blob).written = true
  lay(row, held.start, stop, held.blob.id)
  row.received = withChunk(row.received, { start: held.start, stop })
  row.digests.clear()
  return unreferenced(db, old)
}

function checkEnd(held: ClaimRow, stop: number): void {
  if (stop > (held.stop ?? Infinity)) throw new Error('a record beyond its claim')
}
