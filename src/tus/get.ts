import { download } from '../http/download.js'
import type { Reply } from '../http/reply.js'
import { pathOf } from '../http/target.js'
import { expired, notFound } from '../upload/errors.js'
import type { Upload } from '../upload/upload.js'
import type { Exchange } from './exchange.js'
import { hookRequest } from './hook-request.js'
import { incoming } from './hooks.js'
import { parseMetadata, typeOf } from './metadata.js'
import { fromResponse } from './response.js'
import type { Site } from './site.js'
import { requestedId } from './upload-id.js'

/** The answer of a path the embedding server registered itself; null when there is none. */
export async function registeredRoute(site: Site, exchange: Exchange): Promise<Reply | null> {
  const handler = site.routes.get(pathOf(exchange.target))
  return handler === undefined ? null : fromResponse(await handler(hookRequest(exchange)))
}

/** GET: the content of a finished upload. tus has no GET; this is plain HTTP. */
export async function get(site: Site, exchange: Exchange, owner: string | null): Promise<Reply> {
  const id = requestedId(site, exchange)
  await incoming(site, exchange, owner, id)
  const found = await site.engine.registry.find(id, owner)
  if (found === null) throw notFound()
  if (found.upload.status === 'expired') throw expired()
  return download(site.engine, found.upload, {
    headers: exchange.headers,
    type: mediaTypeOf(found.upload),
    personal: site.identify !== null,
  })
}

/** Other protocols keep other metadata, which is theirs to read. */
function mediaTypeOf(upload: Upload): string | null {
  return upload.protocol === 'tus' ? typeOf(parseMetadata(upload.metadata ?? undefined)) : null
}
