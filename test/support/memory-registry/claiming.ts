import { expired, notFound, OffsetMismatch, UploadError } from '../../../src/upload/errors.js'
import type { ClaimRequest } from '../../../src/upload/ports.js'
import { blobRow, lay, newBlob } from './blobs.js'
import { claimChunk, finished } from './claiming-chunks.js'
import { checkWaiting, settledLength } from './declaring.js'
import { type ClaimRow, prefixEnd, type Session, type UploadRow } from './rows.js'
import type { Tables } from './tables.js'

/** Null when a living writer holds an overlapping range. */
export function claim(db: Tables, session: Session, request: ClaimRequest): ClaimRow | null {
  const row = writable(db, request)
  return row.protocol === 'tus' ? append(db, session, row, request) : claimChunk(db, session, row, request)
}

/** Has a claim go on in a new blob; null when it no longer holds. */
export function relocate(db: Tables, session: Session, token: number): ClaimRow | null {
  const held = db.claims.get(token)
  const row = held && db.uploads.get(held.uploadId)
  if (held === undefined || row === undefined) return null
  const { blob } = newBlob(db, session.epoch)
  lay(row, held.start, null, blob.id)
  Object.assign(held, { blob, blobOffset: 0 })
  return held
}

function append(db: Tables, session: Session, row: UploadRow, request: ClaimRequest): ClaimRow | null {
  const others = db.claimsOn(row.id)
  if (others.some((other) => db.living(other.epoch))) return null
  checkStart(row, request)
  const length = settledLength(row, request.declaredLength)
  if (length !== null && row.length === null) checkWaiting(db, row, length)
  row.length = length
  for (const { token } of others) db.claims.delete(token)
  const made: ClaimRow = {
    token: db.serial(),
    uploadId: row.id,
    epoch: session.epoch,
    start: request.start,
    stop: request.stop ?? length,
    replaces: null,
    ...appendPlace(
      db,
      session,
      row,
      others.some(({ epoch }) => !db.writesNoMore(epoch)),
    ),
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
  if (request.start !== offset) throw new OffsetMismatch(request.start, offset)
  if (row.status === 'complete') throw finished()
}

/**
 * An append goes on in the last blob, unless its last holder never handed it back: that one may still be writing
 * there, so what it recorded stays and the rest goes to a blob of its own.
 */
function appendPlace(
  db: Tables,
  session: Session,
  row: UploadRow,
  takenOver: boolean,
): Pick<ClaimRow, 'blob' | 'blobOffset'> {
  const offset = prefixEnd(row.received)
  const last = row.extents.at(-1)
  if (last !== undefined && !takenOver) {
    return { blob: blobRow(db, last.blobId).blob, blobOffset: last.blobOffset + offset - last.start }
  }
  const { blob } = newBlob(db, session.epoch)
  lay(row, offset, null, blob.id)
  return { blob, blobOffset: 0 }
}
