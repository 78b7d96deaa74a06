import { UploadError } from '../../../src/upload/errors.js'
import type { ConcatenateOutcome, FinalDraft, FinalRequest } from '../../../src/upload/ports.js'
import { MAX_LENGTH, type Upload } from '../../../src/upload/upload.js'
import { completeFinal, touchPart } from './completing.js'
import type { Session, UploadRow } from './rows.js'
import type { Tables } from './tables.js'

export function findFinal(db: Tables, request: FinalRequest): Upload | null {
  const key = keyOf(request)
  for (const row of db.uploads.values()) {
    if (row.key === key) return db.view(row)
  }
  return null
}

function keyOf({ owner, parts, sent }: FinalRequest): string {
  return JSON.stringify([owner, parts.map(({ id }) => id), sent])
}

export function concatenate(db: Tables, session: Session, draft: FinalDraft): ConcatenateOutcome {
  const made = findFinal(db, draft)
  if (made !== null) return { upload: made, repeated: true }
  checkSize(
    db,
    draft,
    draft.parts.map(({ id }) => usablePart(db, draft, id)),
  )
  const { id, owner, metadata, filename } = draft
  const parts = draft.parts.map((part) => ({ ...part, span: null }))
  const final: UploadRow = {
    id,
    owner,
    metadata,
    filename,
    parts,
    key: keyOf(draft),
    kind: 'final',
    protocol: 'tus',
    length: null,
    status: 'in_progress',
    createdAt: db.now(),
    completedAt: null,
    completedAs: null,
    digest: null,
    digests: new Map(),
    expiresAt: null,
    received: [],
    extents: [],
    assembly: null,
    most: Math.min(MAX_LENGTH, draft.maxSize ?? MAX_LENGTH),
    recorded: new Map(),
    turns: 0,
  }
  db.uploads.set(id, final)
  for (const part of parts) touchPart(db, session, part.id)
  completeFinal(db, session, final)
  return { upload: db.view(final), repeated: false }
}

function usablePart(db: Tables, draft: FinalDraft, id: string): UploadRow {
  const part = db.owned(id, draft.owner)
  if (part === null) throw new UploadError('part_not_found', 'A part of this final does not exist.')
  if (part.kind !== 'partial')
    throw new UploadError('part_not_partial', 'A part of this final is no partial upload.')
  if (db.statusOf(part) === 'expired')
    throw new UploadError('part_expired', 'A part of this final has expired.')
  return part
}

function checkSize(db: Tables, draft: FinalDraft, parts: readonly UploadRow[]): void {
  const limit = Math.min(draft.maxSize ?? MAX_LENGTH, MAX_LENGTH)
  const total = parts.reduce((sum, part) => sum + (part.length ?? db.offsetOf(part)), 0)
  if (total > limit) throw new UploadError('size_exceeded', `Uploads may have up to ${limit} bytes.`)
}
