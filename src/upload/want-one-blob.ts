import type { Engine } from './engine.js'
import type { Upload } from './upload.js'

/**
 * Has a complete upload whose bytes lie in several places wait to be assembled, like a final. False where nothing is to be done: parts are
 * left as they are, because what they are parts of will be assembled.
 */
export async function wantOneBlob({ bytes, registry }: Engine, upload: Upload): Promise<boolean> {
  if (bytes.isScattered === undefined || upload.kind === 'partial') return false
  const extents = await registry.extents(upload.id, upload.owner)
  const [extent, ...others] = extents ?? []
  if (extent === undefined) return false
  if (others.length === 0 && !(await bytes.isScattered(extent.blob))) return false
  await registry.requestAssembly(upload.id)
  return true
}
