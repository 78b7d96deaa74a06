import type { Engine } from './engine.js'
import { expired, notFound } from './errors.js'
import { findAtRest } from './hold.js'
import { patiently } from './patience.js'
import type { Upload, UploadId } from './upload.js'

/**
 * What a client needs to go on: the upload with the offset its next write must carry. Waits for a live writer to
 * yield, and for a database that is away. Throws `upload_not_found`, `upload_expired`, `upload_busy`,
 * `registry_unavailable`.
 */
export async function inspect(engine: Engine, id: UploadId, owner: string | null): Promise<Upload> {
  const found = await patiently(() => findAtRest(engine, id, owner))
  if (found === null) throw notFound()
  if (found.upload.status === 'expired') throw expired()
  return found.upload
}
