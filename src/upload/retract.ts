import type { Engine } from './engine.js'
import type { Publication } from './ports.js'

/**
 * Removes published files whose uploads are gone, then their rows (law 2). What cannot be removed now is logged and left
 * to the sweep. Returns how many were removed.
 */
export async function retract(engine: Engine, publications: readonly Publication[]): Promise<number> {
  const { publisher, registry, log } = engine
  if (publisher === null) return 0
  const removed: Publication[] = []
  for (const publication of publications) {
    try {
      await publisher.remove(publication)
      removed.push(publication)
    } catch (error) {
      log.warn({ err: error, upload: publication.uploadId }, 'a published file could not be removed yet')
    }
  }
  if (removed.length === 0) return 0
  try {
    await registry.forgetPublications(removed)
  } catch (error) {
    log.warn({ err: error }, 'rows of removed files are left to the sweep')
  }
  return removed.length
}
