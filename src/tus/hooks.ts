import { randomUUID } from 'node:crypto'
import { EVENTS, Upload as TusUpload, Uid } from '@tus/utils'
import { RequestError } from '../http/errors.js'
import { mergeHeaders, type Reply } from '../http/reply.js'
import { actingFor } from '../upload/acting-owner.js'
import { isUploadId, type Upload, type UploadId } from '../upload/upload.js'
import type { Exchange } from './exchange.js'
import { hookRequest } from './hook-request.js'
import type { Verb } from './listeners.js'
import { decodeMetadata, encodeMetadata, type MetadataPair, parseMetadata } from './metadata.js'
import { toResponse } from './response.js'
import type { Site } from './site.js'

/** The id of a new upload: ours, or that of a `namingFunction` that gives ids of the same form (law 8). */
export async function newId(
  site: Site,
  exchange: Exchange,
  metadata: readonly MetadataPair[],
): Promise<UploadId> {
  const { namingFunction } = site.options
  if (namingFunction === undefined || isStock(namingFunction)) return randomUUID()
  const id = await namingFunction(hookRequest(exchange), decodeMetadata(metadata))
  if (isUploadId(id)) return id
  throw new RequestError(
    'misconfigured',
    'namingFunction must give a lower-case UUID v4; leave it out, and put names into the metadata or generateUrl.',
  )
}

/** @tus/server sets a function of its own where the option is empty. By its text, as there may be two copies of it. */
function isStock(namingFunction: (...args: never[]) => unknown): boolean {
  return namingFunction === Uid.rand || String(namingFunction) === String(Uid.rand)
}

/** Lets the embedding server refuse a request. The hook acts for whom the request speaks. */
export async function incoming(
  site: Site,
  exchange: Exchange,
  owner: string | null,
  id: UploadId,
): Promise<void> {
  const { onIncomingRequest } = site.options
  if (onIncomingRequest === undefined) return
  await actingFor(owner, () => onIncomingRequest(hookRequest(exchange), id))
}

/** What `onUploadCreate` makes of the metadata of an upload that is about to be created; it may throw to refuse it. */
export async function creating(
  site: Site,
  exchange: Exchange,
  draft: {
    readonly id: UploadId
    readonly owner: string | null
    readonly length: number | null
    readonly metadata: readonly MetadataPair[]
  },
): Promise<readonly MetadataPair[]> {
  const { onUploadCreate } = site.options
  if (onUploadCreate === undefined) return draft.metadata
  const upload = hookUpload({ ...draft, offset: 0, createdAt: new Date() })
  // The types promise an answer, but hooks that only look give none.
  const answer: { metadata?: TusUpload['metadata'] } | undefined = await actingFor(draft.owner, () =>
    onUploadCreate(hookRequest(exchange), upload),
  )
  return encodeMetadata(answer?.metadata ?? upload.metadata ?? {}, draft.metadata)
}

/** Tells that an upload was created, with its address. Listeners act for its owner. */
export function created(site: Site, exchange: Exchange, upload: Upload, url: string): void {
  actingFor(upload.owner, () =>
    site.listeners.tell('POST', EVENTS.POST_CREATE, () => [hookRequest(exchange), asHookUpload(upload), url]),
  )
}

/**
 * Runs the hook for a finished file, which may change the answer, and tells that it is finished. Not for parts: to
 * whoever moves, indexes or bills files a part is none, and stock hooks could not tell it from one. A hook is given an
 * id and reads what it names, so that it acts for the upload's owner.
 */
export async function finished(
  site: Site,
  exchange: Exchange,
  verb: Verb,
  upload: Upload,
  reply: Reply,
): Promise<Reply> {
  if (upload.kind === 'partial') return reply
  return actingFor(upload.owner, async () => {
    const answer = await askFinished(site, exchange, upload, reply)
    site.listeners.tell(verb, EVENTS.POST_FINISH, () => [
      hookRequest(exchange),
      toResponse(answer),
      asHookUpload(upload),
    ])
    return answer
  })
}

async function askFinished(site: Site, exchange: Exchange, upload: Upload, reply: Reply): Promise<Reply> {
  const { onUploadFinish } = site.options
  if (onUploadFinish === undefined) return reply
  const answer: Awaited<ReturnType<typeof onUploadFinish>> | undefined = await onUploadFinish(
    hookRequest(exchange),
    asHookUpload(upload),
  )
  const extra = Object.entries(answer?.headers ?? {}).map(([name, value]) => [name, String(value)] as const)
  return {
    status: answer?.status_code || reply.status,
    headers: mergeHeaders(reply.headers, Object.fromEntries(extra)),
    body: answer?.body || reply.body,
  }
}

/** Tells that an upload was removed on request. */
export function terminated(site: Site, exchange: Exchange, id: UploadId, reply: Reply): void {
  site.listeners.tell('DELETE', EVENTS.POST_TERMINATE, () => [hookRequest(exchange), toResponse(reply), id])
}

export function asHookUpload(upload: Upload): TusUpload {
  const metadata = upload.protocol === 'tus' ? parseMetadata(upload.metadata ?? undefined) : []
  return hookUpload({ ...upload, metadata })
}

interface HookFacts {
  readonly id: UploadId
  readonly length: number | null
  readonly offset: number
  readonly metadata: readonly MetadataPair[]
  readonly createdAt: Date
}

function hookUpload({ id, length, offset, metadata, createdAt }: HookFacts): TusUpload {
  return new TusUpload({
    id,
    offset,
    creation_date: createdAt.toISOString(),
    ...(length !== null && { size: length }),
    ...(metadata.length > 0 && { metadata: decodeMetadata(metadata) }),
  })
}
