import { randomUUID } from 'node:crypto'
import type { Blob, Extent } from '../../../src/upload/blob.js'
import type { BlobRow, ExtentRow, UploadRow } from './rows.js'
import type { Tables } from './tables.js'

export function newBlob(db: Tables, epoch: number): BlobRow {
  return addBlob(db, { id: randomUUID(), epoch })
}

export function addBlob(db: Tables, blob: Blob): BlobRow {
  const row: BlobRow = { blob, written: false }
  db.blobs.set(blob.id, row)
  return row
}

/** The row of a blob that something refers to. */
export function blobRow(db: Tables, id: string): BlobRow {
  const row = db.blobs.get(id)
  if (row === undefined) throw new Error(`blob ${id} is referred to but has no row`)
  return row
}

function referred(db: Tables): Set<string> {
  const ids = new Set<string>()
  for (const upload of db.uploads.values()) {
    for (const { blobId } of upload.extents) ids.add(blobId)
    if (upload.assembly) ids.add(upload.assembly.target)
  }
  for (const { blobId } of db.claims.values()) ids.add(blobId)
  return ids
}

/** Of the given ids, or of all, the blobs nothing refers to. */
export function unreferenced(db: Tables, ids: Iterable<string> = db.blobs.keys()): Blob[] {
  const used = referred(db)
  return [...new Set(ids)].filter((id) => !used.has(id)).flatMap((id) => db.blobs.get(id)?.blob ?? [])
}

export function forgetBlobs(db: Tables, blobs: readonly Blob[]): void {
  for (const { id } of unreferenced(
    db,
    blobs.map(({ id }) => id),
  )) {
    db.blobs.delete(id)
  }
}

export function blobsOf(row: UploadRow): string[] {
  return [...row.extents.map(({ blobId }) => blobId), ...(row.assembly ? [row.assembly.target] : [])]
}

/** Extent rows of a content of `length` bytes, in order, without the empty ones. */
export function closed(rows: readonly ExtentRow[], length: number): (ExtentRow & { stop: number })[] {
  return [...rows]
    .sort((a, b) => a.start - b.start)
    .map((row) => ({ ...row, stop: row.stop ?? length }))
    .filter((row) => row.stop > row.start)
}

export function extentsOf(db: Tables, row: UploadRow): Extent[] {
  return closed(row.extents, row.length ?? 0).map(({ start, stop, blobId, blobOffset }) => ({
    start,
    stop,
    blob: blobRow(db, blobId).blob,
    blobOffset,
  }))
}
