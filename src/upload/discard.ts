import type { Blob } from './blob.js'
import type { Engine } from './engine.js'

/** Removed at a time. More would keep libuv's four threads from those who write. */
const LANES = 2

/**
 * Removes bytes no row refers to, then their rows (law 2). What cannot be removed now is logged and left to the
 * sweep: the rows already say that it is to go. Returns how many were removed.
 */
export async function discard(engine: Engine, blobs: readonly Blob[]): Promise<number> {
  const removed: Blob[] = []
  const waiting = blobs.values()
  const lane = async () => {
    for (const blob of waiting) if (await isRemoved(engine, blob)) removed.push(blob)
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  if (removed.length === 0) return 0
  try {
    await engine.registry.forgetBlobs(removed)
  } catch (error) {
    engine.log.warn({ err: error }, 'rows of removed bytes are left to the sweep')
  }
  return removed.length
}

async function isRemoved(engine: Engine, blob: Blob): Promise<boolean> {
  try {
    await engine.bytes.remove(blob)
    return true
  } catch (error) {
    engine.log.warn({ err: error, blob: blob.id }, 'bytes could not be removed yet')
    return false
  }
}
