import { notFound, UploadError } from '../../../src/upload/errors.js'
import type { Claim, Recorded } from '../../../src/upload/ports.js'
import { blobRow } from './blobs.js'
import { completeIfWhole } from './completing.js'
import { type ClaimRow, type Session, type UploadRow, withRange } from './rows.js'
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
    if (row === undefined || held === null) lost.push(claim.token)
    else receive(db, session, row, held, stop)
  }
  return lost
}

export function record(db: Tables, session: Session, claim: Claim, stop: number): Recorded {
  const row = db.uploads.get(claim.uploadId)
  if (row === undefined) throw notFound()
  const held = holding(db, claim)
  if (held === null) return recordedBefore(row, claim, stop)
  receive(db, session, row, held, stop)
  db.claims.delete(held.token)
  const { completed, finals } = completeIfWhole(db, session, row)
  db.signals.emit('handedBack', row.id)
  const answer = { upload: db.view(row), completed, completedFinals: finals.map((final) => db.view(final)) }
  row.recorded = { token: claim.token, stop, answer }
  return answer
}

/** The same call again, because its answer was lost, gets the same answer. */
function recordedBefore({ recorded }: UploadRow, claim: Claim, stop: number): Recorded {
  if (recorded?.token === claim.token && recorded.stop === stop) return recorded.answer
  throw new UploadError('claim_lost', 'Another request took over this upload.')
}

export function release(db: Tables, claim: Claim): void {
  if (db.claims.delete(claim.token)) db.signals.emit('handedBack', claim.uploadId)
}

/** A claim whose lease lapsed still counts until somebody takes it over: what it stored has a row, and is no one else's. */
function holding(db: Tables, claim: Claim): ClaimRow | null {
  return db.claims.get(claim.token) ?? null
}

function receive(db: Tables, session: Session, row: UploadRow, held: ClaimRow, stop: number): void {
  const range = { start: held.start, stop }
  if (stop <= held.start) return
  row.received = withRange(row.received, range)
  blobRow(db, held.blobId).written = true
  if (row.protocol === 'tus') {
    row.expiresAt = db.now() + session.expiration
    return
  }
  const others = row.extents.filter((extent) => extent.start !== held.start)
  row.extents = [...others, { ...range, blobId: held.blobId, blobOffset: held.blobOffset }]
}
