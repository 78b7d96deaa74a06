import type { Blob } from '../../../src/upload/blob.js'
import { UploadError } from '../../../src/upload/errors.js'
import type { UploadDraft } from '../../../src/upload/ports.js'
import type { Upload } from '../../../src/upload/upload.js'
import { addBlob } from './blobs.js'
import { completeIfWhole } from './completing.js'
import type { Session, UploadRow } from './rows.js'
import { withRange } from './rows.js'
import type { Tables } from './tables.js'

export function create(db: Tables, session: Session, draft: UploadDraft): Upload {
  const row = insert(db, session, draft)
  completeIfWhole(db, session, row)
  return db.view(row)
}

export function createStored(
  db: Tables,
  session: Session,
  draft: UploadDraft,
  blob: Blob,
  stored: number,
): Upload {
  if (!db.living(blob.epoch)) {
    throw new UploadError('claim_lost', 'The server lost its lease while it stored this body.')
  }
  const row = insert(db, session, draft)
  addBlob(db, blob).written = stored > 0
  row.extents = [{ start: 0, stop: null, blobId: blob.id, blobOffset: 0 }]
  row.received = withRange([], { start: 0, stop: stored })
  completeIfWhole(db, session, row)
  return db.view(row)
}

function insert(db: Tables, session: Session, draft: UploadDraft): UploadRow {
  if (db.uploads.has(draft.id)) throw new Error(`upload ${draft.id} exists`)
  const now = db.now()
  const row: UploadRow = {
    ...draft,
    status: 'in_progress',
    createdAt: now,
    completedAt: null,
    completedAs: null,
    digest: null,
    digests: new Map(),
    expiresAt: now + (draft.protocol === 'tus' ? session.expiration : session.fragoExpiration),
    parts: null,
    received: [],
    extents: [],
    key: null,
    assembly: null,
    most: Number.MAX_SAFE_INTEGER,
    recorded: new Map(),
    turns: 0,
  }
  db.uploads.set(row.id, row)
  return row
}
