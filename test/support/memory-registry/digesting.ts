import type { Digest, DigestAlgorithm } from '../../../src/upload/digest.js'
import type { DigestTurn } from '../../../src/upload/ports.js'
import type { Session } from './rows.js'
import type { Tables } from './tables.js'

export function takeDigest(
  db: Tables,
  session: Session,
  id: string,
  algorithm: DigestAlgorithm,
): DigestTurn | null {
  const row = db.uploads.get(id)
  if (row === undefined || db.statusOf(row) === 'expired') return null
  if (row.status === 'complete' && row.digest?.algorithm === algorithm) {
    return { outcome: 'known', digest: row.digest }
  }
  const before = row.digests.get(algorithm)
  if (before?.digest) return { outcome: 'known', digest: before.digest }
  if (before && before.epoch !== null && before.epoch !== session.epoch && db.living(before.epoch)) {
    db.signals.emit('digestWanted', id)
    return { outcome: 'elsewhere' }
  }
  const token = db.serial()
  row.digests.set(algorithm, { token, epoch: session.epoch, digest: null })
  return { outcome: 'ours', token }
}

export function noteDigest(db: Tables, id: string, token: number, digest: Digest): boolean {
  const digests = db.uploads.get(id)?.digests
  const turn = digests?.get(digest.algorithm)
  if (digests === undefined || turn?.token !== token) return false
  if (turn.digest !== null && !turn.digest.bytes.equals(digest.bytes)) return false
  digests.set(digest.algorithm, { token, epoch: null, digest })
  db.signals.emit('handedBack', id)
  return true
}

export function leaveDigest(db: Tables, id: string, token: number): void {
  const digests = db.uploads.get(id)?.digests
  for (const [algorithm, turn] of digests ?? []) {
    if (turn.token === token && turn.digest === null) digests?.delete(algorithm)
  }
  db.signals.emit('handedBack', id)
}
