import type { CompleteOutcome } from './completion.js'
import { type Digest, digestSize, digestsEqual } from './digest.js'
import type { Engine } from './engine.js'
import { expired, isGone, isUploadError, notFinished, notFound, released, UploadError } from './errors.js'
import { forgetLostPrefix } from './forget-lost.js'
import { patiently } from './patience.js'
import type { WorkedOut } from './prefix-digests.js'
import type { Upload, UploadId, UploadProtocol } from './upload.js'

export interface FinishRequest {
  readonly id: UploadId
  readonly owner: string | null
  readonly protocol: UploadProtocol
  /**
   * What the client says the whole content hashes to; null: it is not compared with anything. Asked for once the
   * upload is known to have no gaps.
   */
  readonly expected: () => Promise<Digest | null>
}

/**
 * Ends an upload whose chunks have all arrived: compares the digest of the whole, completes it and lets the file appear
 * under its filename. Asked again, it says the same again, and what an earlier call began it goes on with. Throws
 * `upload_not_found`, `upload_expired`, `wrong_protocol`, `upload_not_finished` (there are gaps), `checksum_mismatch`
 * (the upload stays as it is, and may be finished again), and what `expected` throws.
 */
export async function finish(engine: Engine, request: FinishRequest): Promise<Upload> {
  const found = await findGapless(engine, request)
  const expected = await request.expected()
  const { upload, first } = await complete(engine, found, expected)
  const published = await engine.publishing.publish(upload.id)
  // Whoever listens is to find the file in its place.
  if (!published && first) engine.events.tell('upload_completed', { upload })
  return upload
}

async function findGapless(engine: Engine, { id, owner, protocol }: FinishRequest): Promise<Upload> {
  const found = await patiently(() => engine.registry.find(id, owner))
  if (found === null) throw notFound()
  const { upload } = found
  if (upload.status === 'expired') throw expired()
  if (upload.protocol !== protocol) {
    const sentence = `This upload was started with ${upload.protocol} and is finished through that only.`
    throw new UploadError('wrong_protocol', sentence)
  }
  if (upload.offset === upload.length) return upload
  throw notFinished()
}

async function complete(
  engine: Engine,
  upload: Upload,
  expected: Digest | null,
): Promise<Extract<CompleteOutcome, { outcome: 'complete' }>> {
  for (;;) {
    const worked = expected && (await compared(engine, upload, expected))
    const outcome = await completeOnce(engine, upload, worked)
    if (outcome.outcome === 'changed') continue
    // Somebody else was first, and with another digest perhaps: this one must not be waited for.
    if (!outcome.first && worked !== null) await engine.digests.note(upload.id, worked)
    return outcome
  }
}

async function completeOnce(
  engine: Engine,
  upload: Upload,
  worked: WorkedOut | null,
): Promise<CompleteOutcome> {
  const { id, owner, protocol } = upload
  const publishAs = engine.publisher?.nameOf(upload) ?? null
  const { digest, token } = worked ?? { digest: null, token: null }
  const request = { id, owner, protocol, digest, token, publishAs }
  try {
    return await patiently(() => engine.registry.complete(request))
  } catch (error) {
    // It may have counted, with its answer lost; then the turn to publish is ours, and nobody else would take it.
    await engine.publishing.leave(id)
    throw error
  }
}

/** The digest of the content, once it was found to be the expected one. */
async function compared(engine: Engine, upload: Upload, expected: Digest): Promise<WorkedOut> {
  const worked = await digestOf(engine, upload, expected)
  if (worked !== null && digestsEqual(worked.digest, expected)) return worked
  if (worked !== null) await engine.digests.note(upload.id, worked)
  if (upload.status === 'in_progress') engine.events.tell('checksum_failed', { upload })
  throw new UploadError('checksum_mismatch', `The ${expected.algorithm} checksum does not fit the file.`)
}

/** Null where no content hashes to it, being of another size: that is known without a look at the bytes. */
async function digestOf(
  engine: Engine,
  upload: Upload,
  { algorithm, bytes }: Digest,
): Promise<WorkedOut | null> {
  if (bytes.length !== digestSize(algorithm)) return null
  if (upload.digest?.algorithm === algorithm) return { digest: upload.digest, token: null }
  try {
    return await engine.digests.digest(upload, algorithm)
  } catch (error) {
    throw await explained(engine, upload, error)
  }
}

/** What became of the content while it was hashed. */
async function explained(engine: Engine, { id, owner, status }: Upload, error: unknown): Promise<unknown> {
  if (isGone(error) && (await forgetLostPrefix(engine, id))) return notFinished()
  if (!isUploadError(error) || error.code !== 'upload_not_found') return error
  if (status === 'complete') return released()
  const found = await engine.registry.find(id, owner)
  return found?.upload.status === 'expired' ? expired() : error
}
