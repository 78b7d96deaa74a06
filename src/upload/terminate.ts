import { discard } from './discard.js'
import type { Engine } from './engine.js'
import { notFound } from './errors.js'
import { retract } from './retract.js'
import type { UploadId } from './upload.js'

/** Removes an upload: the row first, then bytes nobody else refers to. Throws `upload_not_found`. */
export async function terminate(engine: Engine, id: UploadId, owner: string | null): Promise<void> {
  const outcome = await engine.registry.terminate(id, owner)
  if (outcome === null) throw notFound()
  engine.events.tell('upload_terminated', { upload: outcome.upload })
  for (const final of outcome.expiredFinals) engine.events.tell('upload_expired', { upload: final })
  if (outcome.published !== null) await retract(engine, [outcome.published])
  await discard(engine, outcome.unreferenced)
}
