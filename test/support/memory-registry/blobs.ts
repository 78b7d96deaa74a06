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
  return extentsBetween(db, row, 0, row.length ?? 0)
}

/** Where `[start, stop)` of an upload lies. */
export function extentsBetween(db: Tables, row: UploadRow, start: number, stop: number): Extent[] {
  return closed(row.extents, stop)
    .filter((extent) => extent.start < stop && extent.stop > start)
    .map((extent) => ({
      start: Math.max(extent.start, start),
      stop: Math.min(extent.stop, stop),
      blob: blobRow(db, extent.blobId).blob,
      blobOffset: extent.blobOffset + Math.max(extent.start, start) - extent.start,
    }))
}

/** Puts `[start, stop)` of an upload into a blob, from its beginning, cutting what lay there before. */
export function lay(row: UploadRow, start: number, stop: number | null, blobId: string): void {
  const end = stop ?? Infinity
  const kept = row.extents.flatMap((extent): ExtentRow[] => {
    const extentEnd = extent.stop ?? Infinity
    if (extentEnd <= start || extent.start >= end) return [extent]
    const before = extent.start < start ? [{ ...extent, stop: start }] : []
    const after =
      extentEnd > end ? [{ ...extent, start: end, blobOffset: extent.blobOffset + end - extent.start }] : []
    return [...before, ...after]
  })
  row.extents = [...kept, { start, stop, blobId, blobOffset: 0 }].sort((a, b) => a.start - b.start)
}
