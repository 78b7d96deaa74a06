import { closed } from './blobs.js'
import { type ExtentRow, type PartRow, prefixEnd, type Session, type UploadRow } from './rows.js'
import type { Tables } from './tables.js'

export interface Completion {
  readonly completed: boolean
  readonly finals: readonly UploadRow[]
}

/** Completes an upload without gaps, and the waiting finals that this completes. */
export function completeIfWhole(db: Tables, session: Session, row: UploadRow): Completion {
  // What came through frago is complete only when its client says so and the digest fits.
  const closes = row.protocol === 'tus'
  const whole = closes && row.length !== null && prefixEnd(row.received) === row.length
  if (!whole || row.status !== 'in_progress') return { completed: false, finals: [] }
  finish(db, session, row, row.extents)
  const finals = db.waitingFinals(row.id).filter((final) => completeFinal(db, session, final))
  return { completed: true, finals }
}

/** Gives a final the extents of its parts, once all of them are complete. */
export function completeFinal(db: Tables, session: Session, final: UploadRow): boolean {
  const extents: ExtentRow[] = []
  const parts: PartRow[] = []
  let at = 0
  for (const { id, name } of final.parts ?? []) {
    const part = db.uploads.get(id)
    if (part?.status !== 'complete' || part.length === null) return false
    extents.push(...shifted(closed(part.extents, part.length), at))
    parts.push({ id, name, span: { start: at, stop: at + part.length } })
    at += part.length
  }
  final.parts = parts
  final.length = at
  finish(db, session, final, extents)
  for (const { id } of parts) touchPart(db, session, id)
  return true
}

/** A finished part expires some time after it was last of use. */
export function touchPart(db: Tables, session: Session, id: string): void {
  const part = db.uploads.get(id)
  if (part?.status === 'complete') part.expiresAt = db.now() + session.expiration
}

export function finish(db: Tables, session: Session, row: UploadRow, extents: readonly ExtentRow[]): void {
  row.status = 'complete'
  row.completedAt = db.now()
  row.completedAs = db.serial()
  row.expiresAt = row.kind === 'partial' ? db.now() + session.expiration : null
  row.extents = extents
}

function shifted(extents: readonly (ExtentRow & { stop: number })[], by: number): ExtentRow[] {
  return extents.map((extent) => ({ ...extent, start: extent.start + by, stop: extent.stop + by }))
}
