import { assemble } from './assemble.js'
import type { Engine } from './engine.js'
import type { ConcatenateOutcome, FinalDraft } from './ports.js'
import type { UploadId } from './upload.js'

/**
 * Makes a final out of parts by reference, whatever its size. Throws what `UploadRegistry.concatenate` throws. A
 * repeated request gives the upload it made the first time and tells no event.
 */
export async function concatenate(engine: Engine, draft: FinalDraft): Promise<ConcatenateOutcome> {
  const outcome = await engine.registry.concatenate(draft)
  if (outcome.repeated) return outcome
  const { upload } = outcome
  engine.events.tell('upload_started', { upload })
  if (upload.status !== 'complete') return outcome
  engine.events.tell('upload_completed', { upload })
  if (engine.policy.assembly === 'inline') await assembleNow(engine, upload.id)
  return outcome
}

/** The final is made, whatever becomes of this: the background tries again. */
async function assembleNow(engine: Engine, id: UploadId): Promise<void> {
  try {
    await assemble(engine, id)
  } catch (error) {
    engine.log.warn({ err: error, upload: id }, 'a final is left to be assembled later')
  }
}
