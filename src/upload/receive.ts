import type { Readable } from 'node:stream'
import { assembleInline } from './assemble.js'
import { beginsWithBytes } from './begins-with-bytes.js'
import { type BodyDigest, bodyDigest, storedDigest } from './body-digest.js'
import { createHasher, type Digest, digestsEqual } from './digest.js'
import { dropForgotten } from './drop-forgotten.js'
import type { Engine } from './engine.js'
import { busy, isUploadError, notFound, UploadError } from './errors.js'
import { handBack, takeClaim } from './hold.js'
import { patiently } from './patience.js'
import type { Claim, Recorded, WriteResult } from './ports.js'
import { MAX_LENGTH, type Upload, type UploadId, type UploadProtocol } from './upload.js'

/**
 * What the bytes of a request must hash to: known before they come, or only after them (a trailer). `digest` may
 * throw, which then is the request's error and nothing is kept.
 */
export type ExpectedDigest = { readonly before: Digest } | { readonly after: () => Digest }

export interface ReceiveRequest {
  readonly id: UploadId
  readonly owner: string | null
  readonly protocol: UploadProtocol
  /** Offset of the first byte of `source` in the upload. */
  readonly start: number
  readonly declaredLength: number | null
  readonly source: Readable
  /** Bytes the source announced; null when it did not. */
  readonly announced: number | null
  readonly expected: ExpectedDigest | null
  /** Most bytes the upload may have; null: no limit. */
  readonly maxSize: number | null
  /** Aborts when the request is to end early (drain, idle client); its reason, if an UploadError, is the answer. */
  readonly signal: AbortSignal
}

export interface Received {
  readonly upload: Upload
  /** Bytes of this request that are now part of the upload. */
  readonly stored: number
  readonly completed: boolean
  /** Waiting finals that this request's bytes completed. */
  readonly completedFinals: readonly Upload[]
  /** False when the request ended before all it announced had come; what came is kept (unless checked). */
  readonly whole: boolean
  /** True when the client left before it had sent everything. */
  readonly cut: boolean
}

/**
 * One writer's request from claim to record. Throws what `takeClaim` throws, and `size_exceeded`,
 * `checksum_mismatch`, `upload_busy` (another request asked for the upload meanwhile), `claim_lost`, `storage_full`,
 * `storage_failed`; bytes that were recorded before the failure stay recorded in every case.
 */
export async function receive(engine: Engine, request: ReceiveRequest): Promise<Received> {
  const claimed = await claimOrFinished(engine, request)
  if (claimed === null) return addNothing(engine, request)
  let claim = claimed
  let digest: BodyDigest | null = null
  let open = true
  try {
    claim = await whereBytesCanGo(engine, claim)
    digest = startDigest(engine, request, claim)
    const limit = roomFor(request, claim)
    const result = await store(engine, request, claim, { limit, digest })
    const keep = await bytesToKeep(engine, request, claim, result, digest)
    const recorded = await patiently(() => engine.registry.record(claim, claim.start + keep))
    open = false
    announce(engine, claim, keep, recorded)
    await assembleInline(engine, recorded.completedFinals)
    return answer(request, claim, result, keep, recorded)
  } finally {
    digest?.close()
    if (open) await handBack(engine, claim)
    if (open) await dropForgotten(engine, claim.blob)
  }
}

/** Null when the upload is complete and the request begins at its very end: there is nothing to claim. */
async function claimOrFinished(engine: Engine, request: ReceiveRequest): Promise<Claim | null> {
  try {
    return await takeClaim(engine, {
      id: request.id,
      owner: request.owner,
      protocol: request.protocol,
      start: request.start,
      stop: null,
      declaredLength: request.declaredLength,
    })
  } catch (error) {
    if (isUploadError(error) && error.code === 'upload_finished') return null
    throw error
  }
}

/** What a store only appends to may hold bytes that do not count, of a request whose digest did not fit, or be closed. */
async function whereBytesCanGo({ bytes, registry }: Engine, claim: Claim): Promise<Claim> {
  if (bytes.canAppend === undefined) return claim
  return (await bytes.canAppend(claim.blob, claim.blobOffset)) ? claim : registry.relocate(claim)
}

/** A client that lost the answer to its last bytes sends an empty rest: that is success, once more. */
async function addNothing(engine: Engine, request: ReceiveRequest): Promise<Received> {
  if (request.announced !== null && request.announced > 0) throw tooLarge(request.start)
  if (request.announced === null && (await bringsBytes(request))) throw tooLarge(request.start)
  if (request.expected !== null) {
    const expected = 'before' in request.expected ? request.expected.before : request.expected.after()
    if (!digestsEqual(createHasher(expected.algorithm).digest(), expected)) throw mismatch(expected)
  }
  const found = await engine.registry.find(request.id, request.owner)
  if (found === null) throw notFound()
  return { upload: found.upload, stored: 0, completed: false, completedFinals: [], whole: true, cut: false }
}

/** Whether another byte comes before the end. The source is left alive: the answer goes out over the same socket. */
async function bringsBytes({ source, signal }: ReceiveRequest): Promise<boolean> {
  const begins = await beginsWithBytes(source, signal)
  signal.throwIfAborted()
  return begins
}

/** The most bytes this request may add. A request that announces more is refused before a byte is read. */
function roomFor(request: ReceiveRequest, claim: Claim): number {
  const end = Math.min(claim.length ?? MAX_LENGTH, request.maxSize ?? MAX_LENGTH)
  const room = end - claim.start
  if (request.announced !== null && request.announced > room) throw tooLarge(end)
  return room
}

function tooLarge(end: number): UploadError {
  return new UploadError(
    'size_exceeded',
    `The upload may have ${end} bytes; this request would make it longer.`,
  )
}

/** Null where nothing is to be checked, or only the end of the body will say by what. */
function startDigest(
  engine: Engine,
  { expected, announced }: ReceiveRequest,
  claim: Claim,
): BodyDigest | null {
  if (expected === null || !('before' in expected)) return null
  return bodyDigest(engine, claim, expected.before.algorithm, announced)
}

async function store(
  engine: Engine,
  request: ReceiveRequest,
  claim: Claim,
  { limit, digest }: { readonly limit: number; readonly digest: BodyDigest | null },
): Promise<WriteResult> {
  const stopping = new AbortController()
  const stop = () => stopping.abort()
  request.signal.addEventListener('abort', stop)
  claim.yielded.addEventListener('abort', stop)
  if (request.signal.aborted || claim.yielded.aborted) stop()
  let follower: ReturnType<Engine['checkpoints']['follow']> | null = null
  try {
    const write = engine.bytes.write(claim.blob, claim.blobOffset, request.source, {
      limit,
      fresh: claim.fresh,
      signal: stopping.signal,
      ...(digest?.observe && { observe: digest.observe }),
      onStored: (total) => {
        digest?.stored(total)
        return follower?.stored(total)
      },
    })
    // Bytes whose digest is still to be checked must not become part of the upload before it fits.
    if (request.expected === null) follower = engine.checkpoints.follow(claim, write)
    return await write.done
  } finally {
    request.signal.removeEventListener('abort', stop)
    claim.yielded.removeEventListener('abort', stop)
    await follower?.stop()
  }
}

/** How many of the stored bytes become part of the upload. Throws where the request must not count at all. */
async function bytesToKeep(
  engine: Engine,
  request: ReceiveRequest,
  claim: Claim,
  result: WriteResult,
  digest: BodyDigest | null,
): Promise<number> {
  if (result.ended === 'limit') throw tooLarge(claim.start + result.stored)
  if (request.expected === null) return result.stored
  if (!isWhole(request, result)) return 0
  const expected = 'before' in request.expected ? request.expected.before : request.expected.after()
  const actual = digest
    ? await digest.digest(result.stored)
    : await storedDigest(engine, claim, expected.algorithm, result.stored)
  if (digestsEqual(actual, expected)) return result.stored
  await tellFailed(engine, request)
  throw mismatch(expected)
}

async function tellFailed(engine: Engine, request: ReceiveRequest): Promise<void> {
  try {
    const found = await engine.registry.find(request.id, request.owner)
    if (found) engine.events.tell('checksum_failed', { upload: found.upload })
  } catch (error) {
    // The client is to hear that its bytes were bad, not that nobody could be told.
    engine.log.warn({ err: error, upload: request.id }, 'nobody was told of a checksum that does not fit')
  }
}

function mismatch(expected: Digest): UploadError {
  return new UploadError(
    'checksum_mismatch',
    `The ${expected.algorithm} checksum does not fit the bytes received; none of them were kept.`,
  )
}

function isWhole(request: ReceiveRequest, result: WriteResult): boolean {
  return result.ended === 'end' && (request.announced === null || result.stored === request.announced)
}

function announce(engine: Engine, claim: Claim, keep: number, recorded: Recorded): void {
  const { upload } = recorded
  if (keep > 0) {
    engine.events.tell('chunk_received', { upload, start: claim.start, stop: claim.start + keep })
  }
  if (recorded.completed) engine.events.tell('upload_completed', { upload })
  for (const final of recorded.completedFinals) engine.events.tell('upload_completed', { upload: final })
}

/** A request that stored all it had is answered as done, even if it was asked to yield at its last byte. */
function answer(
  request: ReceiveRequest,
  claim: Claim,
  result: WriteResult,
  stored: number,
  recorded: Recorded,
): Received {
  const whole = isWhole(request, result)
  if (result.ended === 'failed') {
    throw result.error ?? new UploadError('storage_failed', 'The bytes could not be stored.')
  }
  if (!whole && !recorded.completed && claim.yielded.aborted) throw busy()
  if (!whole && request.signal.aborted && request.signal.reason instanceof UploadError)
    throw request.signal.reason
  const { upload, completed, completedFinals } = recorded
  return { upload, stored, completed, completedFinals, whole, cut: result.ended === 'cut' }
}
