import type { Expired, Terminated } from '../../../src/upload/ports.js'
import { blobsOf, unreferenced } from './blobs.js'
import { retract } from './publishing.js'
import type { UploadRow } from './rows.js'
import type { Tables } from './tables.js'

export function terminate(db: Tables, id: string, owner: string | null): Terminated | null {
  const row = db.owned(id, owner)
  if (row === null) return null
  const upload = db.view(row)
  const blobs = [...blobsOf(row), ...endClaims(db, id)]
  const finals = db.waitingFinals(id)
  for (const final of finals) expire(db, final)
  db.uploads.delete(id)
  db.signals.emit('yield', id)
  db.signals.emit('handedBack', id)
  return {
    upload,
    published: retract(db, id),
    expiredFinals: finals.map((final) => db.view(final)),
    unreferenced: unreferenced(db, blobs),
  }
}

export function expireDue(db: Tables, limit: number): Expired {
  const due = [...db.uploads.values()]
    .filter((row) => row.status !== 'expired' && db.statusOf(row) === 'expired')
    .slice(0, limit)
  const blobs = due.flatMap(blobsOf)
  const ended: UploadRow[] = []
  for (const row of due) {
    const finals = row.status === 'in_progress' ? db.waitingFinals(row.id) : []
    blobs.push(...endClaims(db, row.id))
    for (const each of [row, ...finals]) expire(db, each)
    ended.push(row, ...finals)
  }
  return { uploads: ended.map((row) => db.view(row)), unreferenced: unreferenced(db, blobs) }
}

function expire(db: Tables, row: UploadRow): void {
  endClaims(db, row.id)
  row.status = 'expired'
  row.received = []
  row.extents = []
  row.digests.clear()
  row.key = null
  row.expiresAt = null
  row.assembly = null
}

function endClaims(db: Tables, id: string): string[] {
  const claims = db.claimsOn(id)
  for (const { token } of claims) db.claims.delete(token)
  if (claims.length > 0) db.signals.emit('handedBack', id)
  return claims.map(({ blob }) => blob.id)
}
