import { UploadError } from '../../../src/upload/errors.js'
import type { UploadRow } from './rows.js'
import type { Tables } from './tables.js'

/** The length the upload has once a request declared one. */
export function settledLength(row: UploadRow, declared: number | null): number | null {
  if (declared === null) return row.length
  if (row.length !== null && row.length !== declared) {
    throw new UploadError('length_conflict', `The upload has ${row.length} bytes, not ${declared}.`)
  }
  const received = row.received.at(-1)?.stop ?? 0
  if (declared < received) {
    throw new UploadError(
      'length_conflict',
      `The upload already has ${received} bytes, more than ${declared}.`,
    )
  }
  return declared
}

/** The finals that wait for a part have limits of their own. */
export function checkWaiting(db: Tables, part: UploadRow, length: number): void {
  for (const final of db.waitingFinals(part.id)) {
    const lengths = (final.parts ?? []).map(({ id }) =>
      id === part.id ? length : (db.uploads.get(id)?.length ?? 0),
    )
    if (lengths.reduce((sum, each) => sum + each, 0) <= final.most) continue
    throw new UploadError('size_exceeded', 'A final would be longer than it may be.')
  }
}
