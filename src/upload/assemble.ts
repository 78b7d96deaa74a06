import { discard } from './discard.js'
import { dropForgotten } from './drop-forgotten.js'
import type { Engine } from './engine.js'
import { isGone, isUploadError } from './errors.js'
import { patiently } from './patience.js'
import type { Assembly, UploadRegistry } from './ports.js'
import type { Upload, UploadId } from './upload.js'

/**
 * Makes one blob of one final that waits for it: the given one, or any. Resumable: whoever is killed on the way
 * leaves a row another takes over. False when there was nothing to take; one that has to be tried again later is taken,
 * and given back for a while.
 */
export async function assemble(engine: Engine, id?: UploadId, signal?: AbortSignal): Promise<boolean> {
  const assembly = await engine.registry.takeAssembly(id, engine.bytes.sharesTargets ?? false)
  if (assembly === null) return false
  const copied = await copy(engine, assembly, signal)
  if (!copied) {
    await patiently(() => engine.registry.abandonAssembly(assembly))
    await dropForgotten(engine, assembly.target)
    return true
  }
  const finished = await finish(engine, assembly)
  // The final went away, or another node took over: whoever did that has doomed the target, and the sweep removes it.
  if (finished === null) {
    await dropForgotten(engine, assembly.target)
    return true
  }
  engine.events.tell('upload_assembled', { upload: finished.upload })
  await discard(engine, finished.unreferenced)
  return true
}

/** Given up here without a word, it would stay ours, and nobody else's, for as long as this process lives. */
async function finish(engine: Engine, assembly: Assembly): ReturnType<UploadRegistry['finishAssembly']> {
  try {
    return await patiently(() => engine.registry.finishAssembly(assembly))
  } catch (error) {
    await patiently(() => engine.registry.abandonAssembly(assembly))
    throw error
  }
}

async function copy(engine: Engine, assembly: Assembly, signal?: AbortSignal): Promise<boolean> {
  try {
    const outcome = await engine.bytes.assemble(assembly.target, assembly.extents, {
      copied: assembly.copied,
      fresh: assembly.fresh,
      ...(signal && { signal }),
      onCopied: (copied) => engine.registry.assemblyProgress(assembly, copied),
    })
    return outcome === 'done'
  } catch (error) {
    // A blob is gone when the final was deleted, or re-pointed by another assembly: the next attempt sees the rest.
    const gone = isGone(error)
    if (isUploadError(error) && error.code === 'storage_full') await makeRoom(engine, assembly)
    engine.log[gone ? 'info' : 'error'](
      { err: error, upload: assembly.uploadId },
      'an assembly did not finish',
    )
    return false
  }
}

/** Half a copy must not take the room that uploads need. The row first: then it promises none of these bytes. */
async function makeRoom(engine: Engine, assembly: Assembly): Promise<void> {
  try {
    if (await engine.registry.assemblyProgress(assembly, 0)) await engine.bytes.remove(assembly.target)
  } catch (error) {
    engine.log.warn({ err: error, upload: assembly.uploadId }, 'half a copy keeps its room')
  }
}

/** Assembles finals that were just completed, before anybody is answered. They are made, whatever becomes of this. */
export async function assembleInline(engine: Engine, finals: readonly Upload[]): Promise<void> {
  if (engine.policy.assembly !== 'inline') return
  for (const { id } of finals) {
    try {
      await assemble(engine, id)
    } catch (error) {
      engine.log.warn({ err: error, upload: id }, 'a final is left to be assembled later')
    }
  }
}
