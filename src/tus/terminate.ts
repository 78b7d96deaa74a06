import { RequestError } from '../http/errors.js'
import type { Reply } from '../http/reply.js'
import { terminate as terminateUpload } from '../upload/terminate.js'
import type { UploadId } from '../upload/upload.js'
import type { Exchange } from './exchange.js'
import { incoming, terminated } from './hooks.js'
import type { Site } from './site.js'
import { requestedId } from './upload-id.js'

/** DELETE: the termination extension. */
export async function terminate(site: Site, exchange: Exchange, owner: string | null): Promise<Reply> {
  const id = requestedId(site, exchange)
  await incoming(site, exchange, owner, id)
  if (site.options.disableTerminationForFinishedUploads === true) await refuseFinished(site, id, owner)
  await terminateUpload(site.engine, id, owner)
  const reply: Reply = { status: 204, headers: {}, body: null }
  terminated(site, exchange, id, reply)
  return reply
}

async function refuseFinished(site: Site, id: UploadId, owner: string | null): Promise<void> {
  const found = await site.engine.registry.find(id, owner)
  if (found?.upload.status !== 'complete') return
  throw new RequestError(
    'termination_refused',
    'This upload is finished, and finished uploads are not removed here.',
  )
}
