import { Readable } from 'node:stream'
import { RequestError } from '../http/errors.js'
import type { Reply } from '../http/reply.js'
import { isUploadError, UploadError } from '../upload/errors.js'
import { type ReceiveRequest, receive } from '../upload/receive.js'
import type { Upload } from '../upload/upload.js'
import { expectedDigest } from './checksum.js'
import { requireOffsetType } from './content-type.js'
import type { Exchange } from './exchange.js'
import { expiresHeader } from './expires.js'
import { finished, incoming } from './hooks.js'
import { announcedBytes, integerHeader, requiredInteger } from './integers.js'
import { checkLength, maxSizeFor } from './max-size.js'
import { progressOf } from './progress.js'
import type { Site } from './site.js'
import { requestedId } from './upload-id.js'

/** PATCH: appends the body at the offset the client names. All headers are judged before anything is claimed. */
export async function patch(site: Site, exchange: Exchange, owner: string | null): Promise<Reply> {
  const id = requestedId(site, exchange)
  requireOffsetType(exchange.headers)
  const start = requiredInteger(exchange.headers, 'Upload-Offset')
  const declaredLength = integerHeader(exchange.headers, 'Upload-Length')
  const expected = expectedDigest(exchange)
  const announced = exchange.body === null ? 0 : announcedBytes(exchange.headers)
  await incoming(site, exchange, owner, id)
  const maxSize = await maxSizeFor(site, exchange, id)
  checkLength(declaredLength, maxSize)

  const stopWatching = progressOf(site, exchange, 'PATCH', id, start)
  try {
    return await append(site, exchange, {
      id,
      owner,
      protocol: 'tus',
      start,
      declaredLength,
      source: exchange.body?.source ?? Readable.from([]),
      announced,
      expected,
      maxSize,
      signal: exchange.signal,
    })
  } finally {
    stopWatching()
  }
}

async function append(site: Site, exchange: Exchange, request: ReceiveRequest): Promise<Reply> {
  try {
    const { upload, completed, completedFinals, whole } = await receive(site.engine, request)
    for (const final of completedFinals) await finishedMeanwhile(site, exchange, final)
    if (!whole) refuseHalf(request)
    checkDeclared(request, upload)
    const reply = answer(upload)
    return completed ? await finished(site, exchange, 'PATCH', upload, reply) : reply
  } catch (error) {
    const upload = await keptByDrain(site, request, error)
    if (upload === null) throw error
    return answer(upload)
  }
}

/** A final that waited for these bytes. Its client had its answer long ago: what the hook says changes none. */
async function finishedMeanwhile(site: Site, exchange: Exchange, final: Upload): Promise<void> {
  try {
    await finished(site, exchange, 'PATCH', final, answer(final))
  } catch (error) {
    site.engine.log.error({ err: error, upload: final.id }, 'a hook failed for a final that is complete')
  }
}

/** What came of an unchecked body is kept and answered with its offset; only the client is to hear why it ended. */
function refuseHalf(request: ReceiveRequest): void {
  if (request.signal.reason instanceof RequestError) throw request.signal.reason
  if (request.expected === null) return
  throw new UploadError(
    'request_incomplete',
    'The body ended before all of it had come; nothing of it was kept.',
  )
}

/** A claim checks this too, but a finished upload is not claimed any more. */
function checkDeclared({ declaredLength }: ReceiveRequest, { length }: Upload): void {
  if (declaredLength === null || declaredLength === length) return
  throw new UploadError('length_conflict', `The upload has ${length} bytes, not ${declaredLength}.`)
}

/**
 * A server that stops answers with what it has: a smaller Upload-Offset than expected is legal, and the client just
 * goes on from there. Not so for checked bytes: a 204 would say that the checksum was right.
 */
async function keptByDrain(site: Site, request: ReceiveRequest, error: unknown): Promise<Upload | null> {
  const draining = isUploadError(error) && error.code === 'draining'
  if (!draining || request.expected !== null) return null
  const found = await site.engine.registry.find(request.id, request.owner)
  return found?.upload ?? null
}

function answer(upload: Upload): Reply {
  return {
    status: 204,
    headers: { 'Upload-Offset': String(upload.offset), ...expiresHeader(upload) },
    body: null,
  }
}
