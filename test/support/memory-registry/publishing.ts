import type { Blob } from '../../../src/upload/blob.js'
import type { Placed, Publication, Published, PublishTurn } from '../../../src/upload/ports.js'
import { blobsOf, unreferenced } from './blobs.js'
import type { PublicationRow, Session } from './rows.js'
import type { Tables } from './tables.js'

export function takePublication(db: Tables, session: Session, id: string): PublishTurn | null {
  const row = db.publications.get(id)
  const upload = db.uploads.get(id)
  if (row === undefined || upload === undefined || row.doomed) return null
  if (row.publishedAt !== null) return { outcome: 'done' }
  const elsewhere = row.epoch !== null && row.epoch !== session.epoch && db.living(row.epoch)
  if (elsewhere || db.placing.has(id)) return { outcome: 'elsewhere' }
  row.epoch = session.epoch
  return { outcome: 'ours', publication: view(row), upload: db.view(upload) }
}

/** What `beginPublishing` found: the work is over, or is to be done by `place`. */
export type Begun =
  | { readonly over: Published | null }
  | { readonly over: undefined; readonly holder: Publication | null }

export function beginPublishing(db: Tables, { epochs }: Session, id: string): Begun {
  const row = db.publications.get(id)
  const upload = db.uploads.get(id)
  if (row === undefined || upload === undefined || row.doomed) return { over: null }
  if (row.publishedAt !== null) {
    return { over: { upload: db.view(upload), first: epochs.has(row.publishedBy ?? 0) } }
  }
  const holder = [...db.publications.values()].find(
    ({ name, uploadId }) => name === row.filename && uploadId !== id,
  )
  return { over: undefined, holder: holder ? view(holder) : null }
}

export function endPublishing(
  db: Tables,
  session: Session,
  id: string,
  holder: Publication | null,
  placed: Placed,
): Published | null {
  const row = db.publications.get(id)
  const upload = db.uploads.get(id)
  if (row === undefined || upload === undefined) return null
  const held = holder && db.publications.get(holder.uploadId)
  if (held && placed.holderName !== null) held.name = placed.holderName
  Object.assign(row, { name: placed.name, identity: placed.identity, epoch: null })
  Object.assign(row, { publishedAt: db.now(), publishedBy: session.epoch })
  db.signals.emit('handedBack', id)
  return { upload: db.view(upload), first: true }
}

export function leavePublication(db: Tables, session: Session, id: string): void {
  const row = db.publications.get(id)
  if (row?.epoch === session.epoch) row.epoch = null
  db.signals.emit('handedBack', id)
}

export function unpublished(db: Tables, limit: number): string[] {
  return [...db.publications.values()]
    .filter(({ publishedAt, doomed }) => publishedAt === null && !doomed)
    .filter(({ epoch }) => epoch === null || !db.living(epoch))
    .slice(0, limit)
    .map(({ uploadId }) => uploadId)
}

/** The upload is gone. Returns the published file that is to follow it. */
export function retract(db: Tables, id: string): Publication | null {
  const row = db.publications.get(id)
  if (row === undefined) return null
  if (row.publishedAt === null) {
    db.publications.delete(id)
    return null
  }
  row.doomed = true
  return view(row)
}

export function retractedPublications(db: Tables, limit: number): Publication[] {
  return [...db.publications.values()]
    .filter(({ doomed }) => doomed)
    .slice(0, limit)
    .map(view)
}

/** One that was given another name meanwhile was not removed. */
export function forgetPublications(db: Tables, publications: readonly Publication[]): void {
  for (const { uploadId, name } of publications) {
    const row = db.publications.get(uploadId)
    if (row?.doomed && row.name === name) db.publications.delete(uploadId)
  }
}

export function releasePublished(
  db: Tables,
  retain: number,
  limit: number,
): { readonly count: number; readonly unreferenced: readonly Blob[] } {
  const due = [...db.publications.values()]
    .filter(({ publishedAt, released, doomed }) => publishedAt !== null && !released && !doomed)
    .filter(({ publishedAt }) => (publishedAt ?? 0) <= db.now() - retain)
    .slice(0, limit)
  const blobs: string[] = []
  for (const publication of due) {
    publication.released = true
    const upload = db.uploads.get(publication.uploadId)
    if (upload === undefined) continue
    blobs.push(...blobsOf(upload))
    Object.assign(upload, { extents: [], received: [], assembly: null })
  }
  return { count: due.length, unreferenced: unreferenced(db, blobs) }
}

function view({ uploadId, filename, name, identity }: PublicationRow): Publication {
  return { uploadId, filename, name, identity }
}
