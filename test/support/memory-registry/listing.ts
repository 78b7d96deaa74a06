import type { ListedUpload, Prefix } from '../../../src/upload/ports.js'
import { extentsBetween } from './blobs.js'
import type { UploadRow } from './rows.js'
import type { Tables } from './tables.js'

export function describeUpload(db: Tables, id: string, owner: string | null): ListedUpload | null {
  const row = db.owned(id, owner)
  return row && listed(db, row)
}

/** Those completed, newest first, then the others in the order they were started; of each the newest. */
export function list(db: Tables, owner: string | null, limit: number): ListedUpload[] {
  const rows = [...db.uploads.values()].filter((row) => row.owner === owner)
  const complete = rows
    .filter((row) => row.status === 'complete' && row.kind !== 'partial')
    .sort((a, b) => (b.completedAs ?? 0) - (a.completedAs ?? 0))
  // A map keeps the order of insertion.
  const others = rows.filter((row) => row.status !== 'complete' && row.kind === 'whole')
  const newest = limit === 0 ? [] : others.slice(-limit)
  return [...complete.slice(0, limit), ...newest].map((row) => listed(db, row))
}

export function prefix(db: Tables, id: string): Prefix | null {
  const row = db.uploads.get(id)
  if (row === undefined || db.statusOf(row) === 'expired') return null
  if (db.publications.get(id)?.released) return null
  const stop = db.offsetOf(row)
  return { stop, extents: extentsBetween(db, row, 0, stop) }
}

function listed(db: Tables, row: UploadRow): ListedUpload {
  const upload = db.view(row)
  const received = upload.status === 'in_progress' ? row.received : []
  return { upload, received: received.map(({ start, stop }) => ({ start, stop })) }
}
