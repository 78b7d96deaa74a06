import { expired, notFound, UploadError } from '../../../src/upload/errors.js'
import type { CompleteOutcome, CompleteRequest } from '../../../src/upload/ports.js'
import { closed } from './blobs.js'
import { finish } from './completing.js'
import { noteDigest } from './digesting.js'
import type { ExtentRow, Session, UploadRow } from './rows.js'
import type { Tables } from './tables.js'

/** Makes a gapless upload complete, unless its content is no longer that of the digest. */
export function complete(db: Tables, session: Session, request: CompleteRequest): CompleteOutcome {
  const row = db.owned(request.id, request.owner)
  if (row === null) throw notFound()
  if (row.protocol !== request.protocol) {
    throw new UploadError('wrong_protocol', `This upload was started through ${row.protocol}.`)
  }
  if (db.statusOf(row) === 'expired') throw expired()
  if (row.status === 'complete') return { outcome: 'complete', upload: db.view(row), first: false }
  if (db.offsetOf(row) !== row.length) {
    throw new UploadError('upload_not_finished', 'There are gaps in this upload.')
  }
  if (!settled(db, row, request)) return { outcome: 'changed' }
  for (const { token } of db.claimsOn(row.id)) db.claims.delete(token)
  db.signals.emit('yield', row.id)
  finish(db, session, row, joined(closed(row.extents, row.length)))
  row.digest = request.digest
  for (const [algorithm, { digest }] of row.digests) {
    if (digest !== null || algorithm === request.digest?.algorithm) row.digests.delete(algorithm)
  }
  row.received = row.length > 0 ? [{ start: 0, stop: row.length }] : []
  if (request.publishAs !== null) publishLater(db, session, row.id, request.publishAs)
  db.signals.emit('handedBack', row.id)
  return { outcome: 'complete', upload: db.view(row), first: true }
}

function settled(db: Tables, row: UploadRow, { digest, token }: CompleteRequest): boolean {
  if (digest === null) return true
  if (token !== null) return noteDigest(db, row.id, token, digest)
  return row.digests.get(digest.algorithm)?.digest?.bytes.equals(digest.bytes) ?? false
}

function publishLater(db: Tables, session: Session, uploadId: string, filename: string): void {
  db.publications.set(uploadId, {
    uploadId,
    filename,
    name: null,
    identity: null,
    epoch: session.epoch,
    publishedAt: null,
    publishedBy: null,
    released: false,
    doomed: false,
  })
}

/** Pieces that follow each other in the upload and in their blob are one. */
function joined(extents: readonly (ExtentRow & { stop: number })[]): ExtentRow[] {
  const pieces: (ExtentRow & { stop: number })[] = []
  for (const extent of extents) {
    const last = pieces.at(-1)
    const goesOn =
      last?.blobId === extent.blobId && last.blobOffset + last.stop - last.start === extent.blobOffset
    if (last && goesOn) pieces[pieces.length - 1] = { ...last, stop: extent.stop }
    else pieces.push(extent)
  }
  return pieces
}
