import type { Readable } from 'node:stream'
import type { Extent } from './blob.js'
import { createHasher, type Digest, digestsEqual } from './digest.js'
import { discard } from './discard.js'
import type { Engine } from './engine.js'
import { busy, isGone, isUploadError, notFound, UploadError } from './errors.js'
import { forgetLost } from './forget-lost.js'
import { handBack, takeClaim } from './hold.js'
import { patiently } from './patience.js'
import type { Claim, Hasher, Recorded, WriteResult } from './ports.js'
import type { Upload, UploadId, UploadProtocol } from './upload.js'
import { YieldWhenStalled } from './yield-when-stalled.js'

export interface ChunkRequest {
  readonly id: UploadId
  readonly owner: string | null
  readonly protocol: UploadProtocol
  readonly start: number
  /** End of the chunk, exclusive. */
  readonly stop: number
  /** Length of the upload as the client knows it. */
  readonly length: number
}

/** `duplicate`: the same bytes were there already, and nothing was changed. */
export interface StoredChunk {
  readonly outcome: 'stored' | 'duplicate'
  readonly upload: Upload
}

/** Bytes of two chunks are compared by it: a client must not be able to make two that only look the same. */
const COMPARED_BY = 'sha256'

/**
 * A range of an upload that arrives on its own, beside others. It counts as a whole or not at all. One that begins
 * where a received chunk begins replaces it, unless it brings the same bytes: then it is a duplicate.
 *
 * Claims the range; throws what `takeClaim` throws. Whoever opens a chunk must `finish` or `abandon` it.
 */
export async function openChunk(engine: Engine, request: ChunkRequest): Promise<Chunk> {
  const { id, owner, protocol, start, stop, length } = request
  const claim = await takeClaim(engine, { id, owner, protocol, start, stop, declaredLength: length })
  return new Chunk(engine, claim, request)
}

export class Chunk {
  readonly #engine: Engine
  readonly #claim: Claim
  readonly #request: ChunkRequest
  readonly #yielding: YieldWhenStalled
  /** Hashes what is written, where it may turn out to be a duplicate. */
  #hasher: Hasher | null = null
  #written = false

  constructor(engine: Engine, claim: Claim, request: ChunkRequest) {
    this.#engine = engine
    this.#claim = claim
    this.#request = request
    this.#yielding = new YieldWhenStalled(claim.yielded)
  }

  /** Aborts when the range is to be given up, since somebody else waits for it and too little comes. */
  get signal(): AbortSignal {
    return this.#yielding.signal
  }

  /**
   * Stores what the source yields, up to the size of the chunk; a later call replaces what an earlier one stored.
   * Throws `request_incomplete` (the source broke off), the signal's reason, `claim_lost` (what was there before is lost,
   * and has to be sent again), `storage_full`, `storage_failed`.
   */
  async write(source: Readable, signal: AbortSignal): Promise<void> {
    const { blob, blobOffset, fresh, replaces } = this.#claim
    const { start, stop } = this.#request
    const hasher = replaces?.stop === stop ? createHasher(COMPARED_BY) : null
    this.#written = true
    const result = await this.#engine.bytes.write(blob, blobOffset, source, {
      limit: stop - start,
      fresh,
      signal,
      ...(hasher && { observe: (bytes: Buffer) => hasher.update(bytes) }),
      onStored: () => this.#yielding.moved(),
    }).done
    this.#hasher = hasher
    if (isGone(result.error)) await forgetLost(this.#engine, this.#request.id, [blob])
    checkEnd(result, signal)
  }

  /**
   * Makes the chunk, all of which was written, part of the upload. Throws `claim_lost` (somebody took the range over),
   * `upload_not_found`; the chunk is then abandoned.
   */
  async finish(): Promise<StoredChunk> {
    this.#yielding.stop()
    const upload = await this.#findIfDuplicate()
    if (upload !== null) return { outcome: 'duplicate', upload }
    const recorded = await this.#record()
    this.#tell(recorded)
    await discard(this.#engine, recorded.unreferenced)
    return { outcome: 'stored', upload: recorded.upload }
  }

  /** Leaves the upload as it was. Never throws. */
  async abandon(): Promise<void> {
    this.#yielding.stop()
    await handBack(this.#engine, this.#claim)
    await this.#dropOwnBlob()
  }

  /** The upload, if it has these bytes already; then nothing more is to be done. */
  async #findIfDuplicate(): Promise<Upload | null> {
    if (this.#claim.replaces === null || this.#hasher === null) return null
    const arrived = this.#hasher.digest()
    let keep = false
    try {
      keep = !(await this.#areStored(arrived, this.#claim.replaces.extents))
      if (keep) return null
      const found = await this.#engine.registry.find(this.#request.id, this.#request.owner)
      if (found === null) throw notFound()
      return found.upload
    } finally {
      if (!keep) await this.abandon()
    }
  }

  async #record(): Promise<Recorded> {
    try {
      return await patiently(() => this.#engine.registry.record(this.#claim, this.#request.stop))
    } catch (error) {
      await handBack(this.#engine, this.#claim)
      // A commit whose answer was lost may stand: then a row promises these bytes. The sweep of this epoch decides.
      const unsure = !isUploadError(error) || error.code === 'registry_unavailable'
      if (!unsure && !(await this.#hasRow())) await this.#dropOwnBlob()
      throw error
    }
  }

  #tell({ upload }: Recorded): void {
    const { start, stop } = this.#request
    if (this.#claim.replaces !== null) this.#engine.digests.forget(upload.id)
    this.#engine.events.tell('chunk_received', { upload, start, stop })
    const { followed } = this.#engine.policy
    if (followed !== null) this.#engine.digests.follow(upload, followed)
  }

  /** An earlier attempt may have counted, and its chunk been replaced in part since: then others refer to the blob. */
  async #hasRow(): Promise<boolean> {
    const { id, epoch } = this.#claim.blob
    try {
      return (await this.#engine.registry.knownBlobs(epoch, [id])).has(id)
    } catch (error) {
      this.#engine.log.warn({ err: error }, 'bytes of a chunk that may count are left to the sweep')
      return true
    }
  }

  /** Bytes that are gone are the same as none: whoever sends them again mends the upload (NOTES of frago, row 20). */
  async #areStored(arrived: Digest, extents: readonly Extent[]): Promise<boolean> {
    try {
      return digestsEqual(arrived, await this.#digestOf(extents))
    } catch (error) {
      if (isGone(error)) return false
      throw error
    }
  }

  async #digestOf(extents: readonly Extent[]): Promise<Digest> {
    const hasher = createHasher(COMPARED_BY)
    for (const { blob, blobOffset, start, stop } of extents) {
      for await (const bytes of this.#engine.bytes.read(blob, blobOffset, blobOffset + stop - start)) {
        hasher.update(bytes as Buffer)
      }
    }
    return hasher.digest()
  }

  /** A chunk that was to replace another has a blob of its own, which no row knows. */
  async #dropOwnBlob(): Promise<void> {
    if (this.#claim.replaces === null || !this.#written) return
    try {
      await this.#engine.bytes.remove(this.#claim.blob)
    } catch (error) {
      this.#engine.log.warn({ err: error }, 'bytes of a chunk that does not count are left to the sweep')
    }
  }
}

/** A source that had more than there is room for is the caller's to complain about. */
function checkEnd(result: WriteResult, signal: AbortSignal): void {
  switch (result.ended) {
    case 'end':
    case 'limit':
      return
    case 'cut':
      throw new UploadError(
        'request_incomplete',
        'The chunk broke off before its end; nothing of it was kept.',
      )
    case 'aborted':
      throw signal.aborted ? signal.reason : busy()
    case 'failed':
      throw result.error ?? new UploadError('storage_failed', 'The chunk could not be stored.')
  }
}
