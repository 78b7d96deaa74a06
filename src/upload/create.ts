import type { Readable } from 'node:stream'
import type { Blob } from './blob.js'
import { createHasher, digestsEqual } from './digest.js'
import { discard } from './discard.js'
import type { Engine } from './engine.js'
import { isUploadError, UploadError } from './errors.js'
import type { UploadDraft, WriteResult } from './ports.js'
import { type ExpectedDigest, receive } from './receive.js'
import { terminate } from './terminate.js'
import { MAX_LENGTH, type Upload } from './upload.js'

/** Bodies up to this size are stored before their row is written: one statement in all, and no claim. */
const SMALL_BODY = 1024 * 1024

export interface FirstBody {
  readonly source: Readable
  /** Bytes the body announced; null when it did not. */
  readonly announced: number | null
  readonly expected: ExpectedDigest | null
  readonly signal: AbortSignal
}

/** Records a new upload without bytes. */
export async function create(engine: Engine, draft: UploadDraft): Promise<Upload> {
  checkLength(engine, draft.length)
  const upload = await engine.registry.create(draft)
  engine.events.tell('upload_started', { upload })
  if (upload.status === 'complete') engine.events.tell('upload_completed', { upload })
  return upload
}

/**
 * Records a new upload together with the first bytes of it. A server that drains or has no more room answers with
 * what it kept, as success: only the answer tells the client the address to go on at. Throws `size_exceeded`,
 * `checksum_mismatch` (then nothing is created), `storage_failed`.
 */
export async function createWithBody(engine: Engine, draft: UploadDraft, body: FirstBody): Promise<Upload> {
  checkLength(engine, draft.length)
  const room = Math.min(draft.length ?? MAX_LENGTH, engine.policy.maxSize ?? MAX_LENGTH)
  if (body.announced !== null && body.announced > room) {
    throw new UploadError(
      'size_exceeded',
      `The upload has ${room} bytes, but this request brings ${body.announced}.`,
    )
  }
  const small = body.announced !== null && body.announced > 0 && body.announced <= SMALL_BODY
  return small ? bytesFirst(engine, draft, body, body.announced) : rowFirst(engine, draft, body)
}

function checkLength(engine: Engine, length: number | null): void {
  const { maxSize } = engine.policy
  if (length === null || maxSize === null || length <= maxSize) return
  throw new UploadError(
    'size_exceeded',
    `Uploads may have up to ${maxSize} bytes; this one would have ${length}.`,
  )
}

async function bytesFirst(
  engine: Engine,
  draft: UploadDraft,
  body: FirstBody,
  announced: number,
): Promise<Upload> {
  const blob: Blob = { id: draft.id, epoch: engine.registry.epoch }
  const result = await storeFirst(engine, draft, blob, body, announced)
  if (result.ended === 'cut') {
    await discard(engine, [blob])
    throw abandoned()
  }
  // Checked bytes count as a whole or not at all, but the client is to learn where it can send them again.
  if (body.expected !== null && (result.ended !== 'end' || result.stored !== announced)) {
    await discard(engine, [blob])
    return create(engine, draft)
  }
  try {
    const upload = await engine.registry.createStored(draft, blob, result.stored)
    tellCreated(engine, upload, result.stored)
    return upload
  } catch (error) {
    // A commit whose answer was lost may stand: then a row promises these bytes. The sweep of this epoch decides.
    const unsure = !isUploadError(error) || error.code === 'registry_unavailable'
    if (!unsure) await discard(engine, [blob])
    throw passing(error)
  }
}

/** Stores the body and checks its digest; whatever fails leaves no blob behind. */
async function storeFirst(
  engine: Engine,
  draft: UploadDraft,
  blob: Blob,
  body: FirstBody,
  announced: number,
): Promise<WriteResult> {
  const { expected } = body
  const hasher = expected && 'before' in expected ? createHasher(expected.before.algorithm) : null
  const kept: Buffer[] = []
  const observe = hasher
    ? (bytes: Buffer) => hasher.update(bytes)
    : expected && ((b: Buffer) => void kept.push(b))
  const result = await engine.bytes.write(blob, 0, body.source, {
    limit: announced,
    fresh: true,
    signal: body.signal,
    subject: { filename: draft.filename, metadata: draft.metadata },
    ...(observe && { observe }),
  }).done
  try {
    if (result.ended === 'limit')
      throw new UploadError('size_exceeded', 'The body is longer than it announced.')
    if (result.ended === 'failed' && !isFull(result.error)) throw result.error
    const whole = result.ended === 'end' && result.stored === announced
    if (expected === null || !whole) return result
    const wanted = 'before' in expected ? expected.before : expected.after()
    const trailing = hasher ?? createHasher(wanted.algorithm)
    for (const bytes of kept) trailing.update(bytes)
    if (!digestsEqual(trailing.digest(), wanted)) throw mismatch(wanted.algorithm)
    return result
  } catch (error) {
    await discard(engine, [blob])
    throw error
  }
}

async function rowFirst(engine: Engine, draft: UploadDraft, body: FirstBody): Promise<Upload> {
  const upload = await create(engine, draft)
  try {
    const received = await receive(engine, {
      id: draft.id,
      owner: draft.owner,
      protocol: draft.protocol,
      start: 0,
      declaredLength: null,
      source: body.source,
      announced: body.announced,
      expected: body.expected,
      maxSize: engine.policy.maxSize,
      signal: body.signal,
    })
    // A client that left cannot have learnt the address.
    if (received.cut) throw abandoned()
    return received.upload
  } catch (error) {
    if (isUploadError(error) && (error.code === 'storage_full' || error.code === 'draining')) {
      const found = await engine.registry.find(draft.id, draft.owner)
      return found?.upload ?? upload
    }
    // The client learns no address, so nobody could ever go on with this upload.
    await forget(engine, draft)
    throw error
  }
}

async function forget(engine: Engine, draft: UploadDraft): Promise<void> {
  try {
    await terminate(engine, draft.id, draft.owner)
  } catch (error) {
    // It expires by itself; what the client is to hear is why nothing was created.
    engine.log.warn({ err: error, upload: draft.id }, 'an upload nobody knows of is left to expire')
  }
}

/** The lease of this node ended meanwhile. Nobody took anything over: the same request simply works again. */
function passing(error: unknown): unknown {
  if (!isUploadError(error) || error.code !== 'claim_lost') return error
  const sentence = 'The server lost touch with its database; try again.'
  return new UploadError('registry_unavailable', sentence, { cause: error })
}

function isFull(error: Error | undefined): boolean {
  return isUploadError(error) && error.code === 'storage_full'
}

function abandoned(): UploadError {
  return new UploadError('request_incomplete', 'The request ended before its whole body had arrived.')
}

function mismatch(algorithm: string): UploadError {
  return new UploadError(
    'checksum_mismatch',
    `The ${algorithm} checksum does not fit the body; nothing was kept.`,
  )
}

function tellCreated(engine: Engine, upload: Upload, stored: number): void {
  engine.events.tell('upload_started', { upload })
  if (stored > 0) engine.events.tell('chunk_received', { upload, start: 0, stop: stored })
  if (upload.status === 'complete') engine.events.tell('upload_completed', { upload })
}
