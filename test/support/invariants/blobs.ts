import type { StoredFile } from './files.js'
import type { BlobFacts, ExtentFacts, Snapshot } from './snapshot.js'
import { byUpload } from './snapshot.js'

/** Blobs whose rows contradict each other: doomed and in use, in use by nobody, made by nobody. */
export function brokenBlobs(snapshot: Snapshot): readonly string[] {
  const broken: string[] = []
  const used = new Set(snapshot.extents.map(({ blob_id }) => blob_id))
  const targets = new Map(snapshot.assemblies.map(({ target, upload_id }) => [target, upload_id]))
  const epochs = new Set(snapshot.nodes.map(({ epoch }) => epoch))
  for (const { id, epoch, doomed_at } of snapshot.blobs) {
    const wanted = used.has(id) || targets.has(id)
    if (doomed_at !== null && wanted) broken.push(`blob ${id}: doomed, but something refers to it`)
    if (doomed_at === null && !wanted) broken.push(`blob ${id}: nothing refers to it, and it is not doomed`)
    if (used.has(id) && targets.has(id)) broken.push(`blob ${id}: content and target of an assembly at once`)
    if (!epochs.has(epoch)) broken.push(`blob ${id}: of epoch ${epoch}, which never was`)
  }
  return [...broken, ...brokenAssemblies(snapshot)]
}

function brokenAssemblies(snapshot: Snapshot): readonly string[] {
  const { assemblies, uploads } = snapshot
  return assemblies.flatMap(({ upload_id, target, copied }) => {
    const final = uploads.find(({ id }) => id === upload_id)
    const broken: string[] = []
    const pieces = final?.kind === 'final' || final?.protocol === 'frago' || isScattered(snapshot, upload_id)
    if (!pieces || final?.status !== 'complete') broken.push('is nothing complete that is made of pieces')
    if (copied > 0 && target === null) broken.push(`copied ${copied} bytes to nowhere`)
    if (copied > (final?.length ?? 0)) broken.push(`copied ${copied} of ${final?.length} bytes`)
    return broken.map((sentence) => `assembly of ${upload_id}: ${sentence}`)
  })
}

/** Law 2: received bytes whose file is missing or too short. */
export function brokenPromises(snapshot: Snapshot, files: readonly StoredFile[]): readonly string[] {
  const broken: string[] = []
  const sizes = new Map(files.map((file) => [`${file.epoch}/${file.id}`, file.size]))
  const blobs = new Map(snapshot.blobs.map((blob) => [blob.id, blob]))
  const extentsOf = byUpload(snapshot.extents)
  const promised = (blob: BlobFacts, bytes: number, where: string) => {
    const size = sizes.get(`${blob.epoch}/${blob.id}`)
    if (size === undefined) broken.push(`${where}: blob ${blob.id} has no file`)
    else if (size < bytes) broken.push(`${where}: blob ${blob.id} has ${size} of ${bytes} bytes`)
  }
  for (const { upload_id, start, stop } of snapshot.received) {
    for (const extent of extentsOf(upload_id)) {
      const bytes = neededBytes(extent, start, stop)
      const blob = blobs.get(extent.blob_id)
      if (bytes > 0 && blob) promised(blob, bytes, `upload ${upload_id}, received [${start}, ${stop})`)
    }
  }
  for (const { upload_id, target, copied } of snapshot.assemblies) {
    const blob = target === null ? undefined : blobs.get(target)
    if (copied > 0 && blob) promised(blob, copied, `assembly of ${upload_id}, ${copied} bytes copied`)
  }
  return broken
}

/** How long the file of an extent must be for the part of [start, stop) that lies in it; 0: none does. */
function neededBytes(extent: ExtentFacts, start: number, stop: number): number {
  const to = Math.min(stop, extent.stop ?? stop)
  return to > Math.max(start, extent.start) ? extent.blob_offset + to - extent.start : 0
}

/** Files without a row in an epoch that was swept: no sweep will ever look there again. */
export function lostFiles(snapshot: Snapshot, files: readonly StoredFile[]): readonly string[] {
  const known = new Set(snapshot.blobs.map(({ id, epoch }) => `${epoch}/${id}`))
  const waiting = new Set(
    snapshot.nodes.filter(({ swept_at }) => swept_at === null).map(({ epoch }) => epoch),
  )
  return files
    .filter(({ epoch, id }) => !known.has(`${epoch}/${id}`) && !waiting.has(epoch))
    .map(({ epoch, id }) => `file ${epoch}/${id}: has no row, and its epoch was swept`)
}

/** Whether its bytes lie in several objects of S3. */
function isScattered({ extents, segments }: Snapshot, id: string): boolean {
  const blobs = new Set(extents.filter(({ upload_id }) => upload_id === id).map(({ blob_id }) => blob_id))
  return segments.filter(({ blob_id, state }) => blobs.has(blob_id) && state !== 'doomed').length > 1
}
