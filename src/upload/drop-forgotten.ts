import type { Blob } from './blob.js'
import type { Engine } from './engine.js'

/**
 * Removes the bytes of a blob whose row is gone. Whoever removed the row had removed the file before; a process that
 * was slow, or frozen, may have made it only then, where no sweep looks again.
 */
export async function dropForgotten(engine: Engine, blob: Blob): Promise<void> {
  try {
    const known = await engine.registry.knownBlobs(blob.epoch, [blob.id])
    if (!known.has(blob.id)) await engine.bytes.remove(blob)
  } catch (error) {
    engine.log.warn({ err: error, blob: blob.id }, 'a file nobody refers to may be left over')
  }
}
