import type { Blob } from './blob.js'
import type { Engine } from './engine.js'
import type { UploadId } from './upload.js'

/**
 * Somebody removed bytes of an upload behind our back. Where that is certain, the rows stop promising them, and whoever
 * looks at the upload sees what is to be sent again. Says whether anything was forgotten. Never throws.
 */
export async function forgetLost(engine: Engine, id: UploadId, blobs: readonly Blob[]): Promise<boolean> {
  let forgotten = false
  for (const blob of blobs) {
    try {
      if (!(await engine.bytes.isLost(blob)) || !(await engine.registry.forgetLost(id, blob))) continue
    } catch (error) {
      engine.log.warn({ err: error, upload: id, blob: blob.id }, 'lost bytes are still promised')
      continue
    }
    engine.digests.forget(id)
    engine.log.error({ upload: id, blob: blob.id }, 'bytes of an upload are gone; they have to be sent again')
    forgotten = true
  }
  return forgotten
}

/** The same for all bytes of an upload in progress, as far as it has no gap. */
export async function forgetLostPrefix(engine: Engine, id: UploadId): Promise<boolean> {
  const prefix = await engine.registry.prefix(id)
  const blobs = new Map(prefix?.extents.map(({ blob }) => [blob.id, blob]))
  return forgetLost(engine, id, [...blobs.values()])
}
