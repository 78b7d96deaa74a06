import { expect } from 'vitest'
import { brokenBlobs, brokenPromises, lostFiles } from './invariants/blobs.js'
import { listStored } from './invariants/files.js'
import { brokenPublications } from './invariants/publications.js'
import { type Schema, type Snapshot, takeSnapshot } from './invariants/snapshot.js'
import { brokenUploads } from './invariants/uploads.js'

/**
 * What must be true of a registry and a directory of blobs at every moment, whatever was killed and when: no row
 * promises bytes the store lacks (law 2), ranges do not overlap, extents follow each other, a complete upload has no
 * gap, a blob is either referred to or doomed, a published file has an upload or is to go, and every file without a row lies where a sweep will find it.
 *
 * Rows are one moment and files the next: nobody may be removing bytes meanwhile. Each sentence is one thing broken.
 */
export async function brokenInvariants(schema: Schema, blobs: string): Promise<readonly string[]> {
  const snapshot = await takeSnapshot(schema)
  const { files, strangers } = await listStored(blobs)
  return [
    ...contradictions(snapshot),
    ...brokenPromises(snapshot, files),
    ...lostFiles(snapshot, files),
    ...strangers.map((path) => `file ${path}: is no blob`),
  ]
}

/** As `brokenInvariants`, of the rows alone. */
export async function brokenRows(schema: Schema): Promise<readonly string[]> {
  return contradictions(await takeSnapshot(schema))
}

function contradictions(snapshot: Snapshot): readonly string[] {
  return [...brokenUploads(snapshot), ...brokenBlobs(snapshot), ...brokenPublications(snapshot)]
}

/** What is still stored although nobody wants it: files without a row, and blobs that are doomed. */
export async function findLeftovers(schema: Schema, blobs: string): Promise<readonly string[]> {
  const snapshot = await takeSnapshot(schema)
  const { files } = await listStored(blobs)
  const known = new Set(snapshot.blobs.map(({ id, epoch }) => `${epoch}/${id}`))
  return [
    ...snapshot.blobs.filter((blob) => blob.doomed_at !== null).map(({ id }) => `blob ${id} is doomed`),
    ...files.filter(({ id, epoch }) => !known.has(`${epoch}/${id}`)).map(({ id }) => `file ${id} has no row`),
  ]
}

export async function expectInvariants(schema: Schema, blobs: string, when: string): Promise<void> {
  expect(await brokenInvariants(schema, blobs), `invariants ${when}`).toEqual([])
}

/** As `expectInvariants`, once nothing runs and a sweep went over everything. */
export async function expectSwept(schema: Schema, blobs: string, when: string): Promise<void> {
  await expectInvariants(schema, blobs, when)
  expect(await findLeftovers(schema, blobs), `leftovers ${when}`).toEqual([])
}
