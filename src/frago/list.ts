import type { Reply } from '../http/reply.js'
import { json } from './json-reply.js'
import type { Site } from './site.js'
import { uploadJson } from './upload-json.js'

/** Most uploads of each kind, completed and not, in one list: it has no pages (NOTES, row 36). */
export const MOST_LISTED = 1000

/** GET of the collection: the caller's own uploads. What nobody owns is not for everybody to see (NOTES, row 23). */
export async function list(site: Site, owner: string | null): Promise<Reply> {
  if (owner === null) {
    return json(403, { status: false, message: 'anonymous users can not view uploads ' })
  }
  const uploads = await site.engine.registry.list(owner, MOST_LISTED)
  return json(200, uploads.map(uploadJson))
}
