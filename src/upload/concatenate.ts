import { assembleInline } from './assemble.js'
import type { Engine } from './engine.js'
import type { ConcatenateOutcome, FinalDraft } from './ports.js'

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
  await assembleInline(engine, [upload])
  return outcome
}
