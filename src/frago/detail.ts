import type { Reply } from '../http/reply.js'
import { notFound } from '../upload/errors.js'
import { json } from './json-reply.js'
import type { Site } from './site.js'
import { uploadJson } from './upload-json.js'

/** GET of an upload: its state and the chunks that have arrived, from which a client learns where to go on. */
export async function detail(site: Site, id: string, owner: string | null): Promise<Reply> {
  const described = await site.engine.registry.describe(id, owner)
  if (described === null) throw notFound()
  return json(200, uploadJson(described))
}
