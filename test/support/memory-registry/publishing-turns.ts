import type { Placed, Publication, Published } from '../../../src/upload/ports.js'
import { beginPublishing, endPublishing } from './publishing.js'
import type { Session } from './rows.js'
import type { Tables } from './tables.js'

type Run = <T>(transaction: (session: Session) => T) => Promise<T>

/** The only transaction that awaits: one at a time by filename, and its rows are locked meanwhile. */
export function publishInTurn(
  db: Tables,
  run: Run,
  { uploadId, filename }: Publication,
  place: (holder: Publication | null) => Promise<Placed>,
): Promise<Published | null> {
  const published = publishAfter(db, run, db.publishing.get(filename), uploadId, place)
  const over = published.then(
    () => undefined,
    () => undefined,
  )
  db.publishing.set(filename, over)
  return published
}

async function publishAfter(
  db: Tables,
  run: Run,
  before: Promise<void> | undefined,
  id: string,
  place: (holder: Publication | null) => Promise<Placed>,
): Promise<Published | null> {
  await before
  const begun = await run((session) => {
    const found = beginPublishing(db, session, id)
    return found.over === undefined ? { ...found, unlock: lock(db, id, found.holder) } : found
  })
  if (begun.over !== undefined) return begun.over
  const { holder, unlock } = begun
  try {
    const placed = await place(holder)
    return await run((session) => endPublishing(db, session, id, holder, placed))
  } finally {
    unlock()
  }
}

function lock(db: Tables, id: string, holder: Publication | null): () => void {
  const locked = holder ? [id, holder.uploadId] : [id]
  let settle: (() => void) | null = null
  const until = new Promise<void>((resolve) => {
    settle = resolve
  })
  for (const each of locked) db.placing.set(each, until)
  return () => {
    for (const each of locked) db.placing.delete(each)
    settle?.()
  }
}

/** Runs a transaction once nobody publishes the upload, or gives its file another name. */
export async function unlocked<T>(db: Tables, run: Run, id: string, transaction: () => T): Promise<T> {
  for (;;) {
    const outcome = await run(() => {
      const locked = db.placing.get(id)
      return locked ? { locked } : { result: transaction() }
    })
    if (outcome.locked === undefined) return outcome.result
    await outcome.locked
  }
}
