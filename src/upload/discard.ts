import type { Blob } from './blob.js'
import type { Engine } from './engine.js'

/**
 * Removes bytes no row refers to, then their rows (law 2). What cannot be removed now is logged and left to the
 * sweep: the rows already say that it is to go. Returns how many were removed.
 */
export async function discard(engine: Engine, blobs: readonly Blob[]): Promise<number> {
  const removed: Blob[] = []
  for (const blob of blobs) {
    try {
      await engine.bytes.remove(blob)
      removed.push(blob)
    } catch (error) {
      engine.log.warn({ err: error, blob: blob.id }, 'bytes could not be removed yet')
    }
  }
  if (removed.length === 0) return 0
  try {
    await engine.registry.forgetBlobs(removed)
  } catch (error) {
    engine.log.warn({ err: error }, 'rows of removed bytes are left to the sweep')
  }
  return removed.length
}
