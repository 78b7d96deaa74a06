import type { Blob } from '../../../src/upload/blob.js'
import type { Assembly } from '../../../src/upload/ports.js'
import type { Upload } from '../../../src/upload/upload.js'
import { blobRow, closed, extentsOf, newBlob, unreferenced } from './blobs.js'
import type { AssemblyRow, Session, UploadRow } from './rows.js'
import type { Tables } from './tables.js'

export interface TakenAssembly {
  readonly assembly: Assembly
  readonly token: number
}

export function takeAssembly(
  db: Tables,
  session: Session,
  id: string | undefined,
  shared: boolean,
): TakenAssembly | null {
  const [final] = [...db.uploads.values()]
    .filter((row) => (id === undefined || row.id === id) && waits(db, row))
    .sort((a, b) => a.turns - b.turns)
  if (final === undefined) return null
  // Only a clean hand-back leaves a target nobody else might still be writing to.
  const handedBack =
    final.assembly !== null && (shared || final.assembly.epoch === null) ? final.assembly : null
  const target = handedBack?.target ?? newBlob(db, session.epoch).blob.id
  final.turns += 1
  const row: AssemblyRow = {
    token: db.serial(),
    target,
    epoch: session.epoch,
    copied: handedBack?.copied ?? 0,
  }
  final.assembly = row
  return { assembly: view(db, final, row), token: row.token }
}

export function assemblyProgress(db: Tables, uploadId: string, token: number, copied: number): boolean {
  const row = ours(db, uploadId, token)?.assembly
  if (!row) return false
  row.copied = copied
  blobRow(db, row.target).written = true
  return true
}

export function finishAssembly(
  db: Tables,
  uploadId: string,
  token: number,
): { upload: Upload; unreferenced: Blob[] } | null {
  const final = ours(db, uploadId, token)
  if (final?.assembly == null) return null
  const { target } = final.assembly
  const old = final.extents.map(({ blobId }) => blobId)
  final.extents = [{ start: 0, stop: final.length, blobId: target, blobOffset: 0 }]
  final.assembly = null
  for (const { id, span } of final.parts ?? []) {
    const part = db.uploads.get(id)
    if (part?.status !== 'complete' || span === null || span.stop === span.start) continue
    old.push(...part.extents.map(({ blobId }) => blobId))
    part.extents = [{ start: 0, stop: span.stop - span.start, blobId: target, blobOffset: span.start }]
  }
  return { upload: db.view(final), unreferenced: unreferenced(db, old) }
}

export function abandonAssembly(db: Tables, uploadId: string, token: number): void {
  const row = ours(db, uploadId, token)?.assembly
  if (row) row.epoch = null
}

function waits(db: Tables, row: UploadRow): boolean {
  if (row.status !== 'complete' || !isScattered(row)) return false
  return row.assembly === null || row.assembly.epoch === null || !db.living(row.assembly.epoch)
}

/** Of finals and of frago's. */
function isScattered(row: UploadRow): boolean {
  if (row.kind !== 'final' && row.protocol !== 'frago') return false
  return closed(row.extents, row.length ?? 0).length >= 2
}

function ours(db: Tables, uploadId: string, token: number): UploadRow | null {
  const final = db.uploads.get(uploadId)
  const row = final?.assembly
  return final && row?.token === token && row.epoch !== null ? final : null
}

function view(db: Tables, final: UploadRow, row: AssemblyRow): Assembly {
  const target = blobRow(db, row.target)
  return {
    uploadId: final.id,
    length: final.length ?? 0,
    target: target.blob,
    fresh: !target.written,
    copied: row.copied,
    extents: extentsOf(db, final),
  }
}
