import { randomUUID } from 'node:crypto'
import type { Blob } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import { patiently } from '../../src/upload/patience.js'
import type { Segment, SegmentPart, Subject } from '../../src/upload/segment.js'
import type { ObjectHeaders } from './bucket.js'
import type { Bytes } from './bytes.js'
import { headersFor, record } from './record.js'
import { seal } from './seal.js'
import { keyOf, type Storeroom } from './storeroom.js'

/** Parts of one segment that are sent at a time. */
export const LANES = 4

export interface SegmentTarget {
  readonly blob: Blob
  /** Where it begins in the blob. */
  readonly start: number
  readonly subject: Subject | null
  /** Aborts when nobody waits for the provider any longer: what it has not confirmed by then does not count. */
  readonly signal: AbortSignal
}

/**
 * One segment that is written from its beginning to its end. What is no longer than a part is put at once; else each part is sent as soon as
 * it is there, several at a time, and recorded when it is confirmed. `onStored` hears how many bytes, from its beginning and without a gap, are
 * safe: they survive this process, as anybody can make an object of them.
 */
export class SegmentWrite {
  readonly #partBytes: number
  readonly #room: Storeroom
  readonly #target: SegmentTarget
  readonly #onStored: (stored: number) => void
  #segment: Segment
  readonly #lanes = new Set<Promise<void>>()
  readonly #confirmed = new Map<number, number>()
  #beginning: Promise<string> | null = null
  #parts = 0
  #counted = 0
  #stored = 0
  #failure: Error | null = null

  constructor(room: Storeroom, target: SegmentTarget, partBytes: number, onStored: (stored: number) => void) {
    this.#room = room
    this.#target = target
    this.#partBytes = partBytes
    this.#onStored = onStored
    const { blob, start } = target
    const made = { id: randomUUID(), writer: room.epoch(), state: 'open' as const, alive: true }
    this.#segment = { ...made, blob, start, stop: null, uploadId: null, partBytes: null }
  }

  /** Bytes that are safe, from its beginning without a gap. */
  get stored(): number {
    return this.#stored
  }

  /** Why a part that was sent is not safe. */
  get failure(): Error | null {
    return this.#failure
  }

  /** Whether it can take another part besides a last one. */
  get hasRoom(): boolean {
    return this.#parts + 1 < this.#room.maxParts
  }

  /** Takes one part, and resolves when the next may come. Rejects with why one before failed. */
  async send(body: Bytes, sent: () => void): Promise<void> {
    this.#beginning ??= this.#begin()
    const number = ++this.#parts
    const lane = this.#put(number, body)
      .catch((error: Error) => {
        this.#failure ??= error
      })
      .finally(() => {
        this.#lanes.delete(lane)
        sent()
      })
    this.#lanes.add(lane)
    await this.#atMost(LANES - 1)
  }

  /** Takes the rest, which may be nothing, and makes an object of all. */
  async finish(rest: Bytes, sent: () => void): Promise<void> {
    if (this.#parts === 0) {
      try {
        await this.#putWhole(rest)
      } finally {
        sent()
      }
      return
    }
    if (rest.length > 0) await this.send(rest, sent)
    await this.#atMost(0)
    await this.#seal()
  }

  /** Resolves when no more than so many parts are under way. Rejects as soon as one failed, whatever becomes of the others. */
  async #atMost(lanes: number): Promise<void> {
    while (this.#lanes.size > lanes && this.#failure === null) await Promise.race(this.#lanes)
    if (this.#failure !== null) throw this.#failure
  }

  /** Ends it after a failure, with what is safe. Never rejects: who cannot make an object of that now leaves it to its first reader. */
  async giveUp(): Promise<void> {
    await Promise.all(this.#lanes)
    if (this.#beginning === null || this.#segment.uploadId === null) return
    const ending = this.#target.signal.aborted ? this.#leave() : this.#seal()
    await ending.catch(() => undefined)
  }

  /** Asks nothing of the provider: the row says what there is, and whoever reads it makes an object of that. */
  async #leave(): Promise<void> {
    const { bucket, ledger } = this.#room
    const closed = await patiently(() => ledger.close(this.#segment.id))
    // It would go with its epoch, too.
    if (closed === null) bucket.abort(this.#key, this.#segment.uploadId ?? '').catch(() => undefined)
  }

  async #seal(): Promise<void> {
    await seal(this.#room, this.#segment, this.#target.signal)
  }

  async #putWhole(body: Bytes): Promise<void> {
    if (body.length === 0) return
    const { bucket } = this.#room
    await bucket.put(this.#key, body, await this.#headers(), this.#target.signal)
    const stop = this.#target.start + body.length
    const sealed = { ...this.#segment, stop, uploadId: null, partBytes: null }
    await record(this.#room, sealed, this.#target.signal)
    this.#stored = body.length
    this.#onStored(this.#stored)
  }

  async #begin(): Promise<string> {
    const uploadId = await this.#room.bucket.begin(
      this.#key,
      await this.#headers(),
      true,
      this.#target.signal,
    )
    this.#segment = { ...this.#segment, uploadId, partBytes: this.#partBytes }
    const open = { ...this.#segment, stop: null, uploadId, partBytes: this.#partBytes }
    await record(this.#room, open, this.#target.signal)
    return uploadId
  }

  async #put(number: number, body: Bytes): Promise<void> {
    const uploadId = await (this.#beginning as Promise<string>)
    const { bucket, ledger } = this.#room
    const confirmed = await bucket.putChecked(this.#key, uploadId, number, body, this.#target.signal)
    const part: SegmentPart = { number, bytes: body.length, ...confirmed }
    if (!(await patiently(() => ledger.addPart(this.#segment.id, part)))) throw closedByOthers()
    this.#confirmed.set(number, body.length)
    this.#count()
  }

  #count(): void {
    const before = this.#stored
    for (let bytes = this.#confirmed.get(this.#counted + 1); bytes !== undefined; ) {
      this.#counted += 1
      this.#stored += bytes
      this.#confirmed.delete(this.#counted)
      bytes = this.#confirmed.get(this.#counted + 1)
    }
    if (this.#stored > before) this.#onStored(this.#stored)
  }

  get #key(): string {
    return keyOf(this.#room, this.#segment)
  }

  #headers(): Promise<ObjectHeaders> {
    return headersFor(this.#room, this.#target.blob, this.#target.subject)
  }
}

/** Whoever took over has made an object of what was there until then. */
function closedByOthers(): UploadError {
  return new UploadError('claim_lost', 'Another request went on with this upload.')
}
