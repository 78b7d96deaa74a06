import type { Readable } from 'node:stream'
import type { Blob } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import { patiently } from '../../src/upload/patience.js'
import type { BlobWrite, WriteOptions, WriteResult } from '../../src/upload/ports.js'
import { SourceTap } from '../source/tap.js'
import type { Bytes } from './bytes.js'
import { Gathered } from './gathered.js'
import { SegmentWrite } from './segment-write.js'
import { writeError } from './storage-error.js'
import type { Storeroom } from './storeroom.js'
import type { Gathering } from './waiting-bytes.js'

/**
 * For so long a write that is to end waits for a provider that does not answer, in ms. Somebody wants to go on with the upload, on another node
 * maybe, or this one is to stop; or it failed, and its client waits to hear of it.
 */
const PATIENCE_MS = 3_000

export interface BlobTarget {
  readonly blob: Blob
  readonly position: number
}

/**
 * One write into one blob: what the source yields is gathered into parts, which become one segment, or several where a multipart upload
 * has no room for more parts or the memory none for what was gathered. Whatever ends it, what arrived is stored, and no bytes are
 * sent any more when it is done.
 */
export class S3BlobWrite implements BlobWrite, Gathering {
  readonly done: Promise<WriteResult>

  readonly #room: Storeroom
  readonly #target: BlobTarget
  readonly #options: WriteOptions
  readonly #tap: SourceTap
  #segment: SegmentWrite | null = null
  #partBytes: number
  /** Bytes of segments that are through. */
  #before = 0
  #stored = 0
  readonly #gathered: Gathered
  /** Bytes that are taken from the gathered ones, and held until they are sent. */
  #sending = 0
  #relieved = false
  /** While it waits for bytes. */
  #wake: (() => void) | null = null
  #reporting: Promise<void> = Promise.resolve()
  #failure: Error | null = null
  readonly #impatient = new AbortController()
  #timer: NodeJS.Timeout | null = null

  constructor(room: Storeroom, target: BlobTarget, source: Readable, options: WriteOptions) {
    this.#room = room
    this.#target = target
    this.#options = options
    this.#gathered = new Gathered(room.blocks)
    if (options.signal?.aborted) this.#hurry()
    else options.signal?.addEventListener('abort', this.#hurry)
    room.waiting.join(this)
    this.#partBytes = room.waiting.partBytes
    this.#tap = new SourceTap(source, options, {
      bytes: (bytes) => this.#gather(bytes),
      isFull: () => this.#isFull,
      ended: () => this.#awake(),
    })
    this.done = this.#run()
  }

  /** Parts are durable one by one, and none by being asked for it. */
  async durable(): Promise<number> {
    return this.#stored
  }

  get waiting(): number {
    // Who was asked counts until he begins, so that no other is asked as well.
    return this.#wake !== null || this.#relieved ? this.#gathered.length : 0
  }

  resume(): void {
    this.#tap.resume()
  }

  relieve(): void {
    this.#relieved = true
    this.#awake()
  }

  async #run(): Promise<WriteResult> {
    try {
      await this.#mustExist()
      await this.#fill()
      await this.#reporting
    } catch (error) {
      this.#failure ??= writeError(error)
    }
    const failure = this.#failure ?? this.#tap.error
    const wasWanted = this.#impatient.signal.aborted
    if (failure !== null) await this.#giveUp()
    this.#room.waiting.leave(this)
    this.#options.signal?.removeEventListener('abort', this.#hurry)
    clearTimeout(this.#timer ?? undefined)
    if (failure !== null && wasWanted) return { stored: this.#stored, ended: 'aborted' }
    if (failure !== null) return { stored: this.#stored, ended: 'failed', error: failure }
    return { stored: this.#stored, ended: this.#tap.ended ?? 'end' }
  }

  async #mustExist(): Promise<void> {
    const { blob } = this.#target
    if (this.#options.fresh) return
    if (!(await patiently(() => this.#room.ledger.has(blob))))
      throw new UploadError('blob_gone', 'The bytes are no longer there.')
  }

  async #fill(): Promise<void> {
    for (;;) {
      await this.#enough()
      const failure = this.#failed
      if (failure !== null) throw failure
      if (this.#gathered.length > this.#partBytes) await this.#sendPart()
      else if (this.#tap.ended !== null) return this.#endSegment()
      else if (this.#relieved) await this.#endSegment()
    }
  }

  /** Why it cannot go on, though bytes may come. */
  get #failed(): Error | null {
    return this.#failure ?? this.#segment?.failure ?? null
  }

  get #mayWait(): boolean {
    const isShort = this.#gathered.length <= this.#partBytes
    return isShort && this.#tap.ended === null && !this.#relieved && this.#failed === null
  }

  /** Resolves when a part is full and not the last, or when no more bytes are to be waited for. */
  async #enough(): Promise<void> {
    while (this.#mayWait) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.#room.waiting.relieve()
      })
    }
  }

  async #sendPart(): Promise<void> {
    const segment = this.#current()
    // A segment that begins now may have larger parts than the one before: then what was enough to pause the source is not any more.
    if (this.#gathered.length <= this.#partBytes) return this.#tap.resume()
    const { body, sent } = this.#take(this.#partBytes)
    if (segment.hasRoom) await segment.send(body, sent)
    else await this.#end(segment, body, sent)
    await this.#reporting
  }

  async #endSegment(): Promise<void> {
    if (this.#tap.error !== null) return
    const { body, sent } = this.#take(this.#gathered.length)
    await this.#end(this.#current(), body, sent)
  }

  async #end(segment: SegmentWrite, rest: Bytes, sent: () => void): Promise<void> {
    await segment.finish(rest, sent)
    this.#before += segment.stored
    this.#segment = null
  }

  #current(): SegmentWrite {
    if (this.#segment !== null) return this.#segment
    const { blob, position } = this.#target
    this.#partBytes = this.#room.waiting.partBytes
    this.#segment = new SegmentWrite(
      this.#room,
      {
        blob,
        start: position + this.#before,
        subject: this.#options.subject ?? null,
        signal: this.#impatient.signal,
      },
      this.#partBytes,
      (stored) => this.#report(this.#before + stored),
    )
    return this.#segment
  }

  /** One report after the other; what the last one rejects with ends the write. */
  #report(stored: number): void {
    this.#stored = stored
    this.#reporting = this.#reporting.then(async () => {
      if (this.#failure !== null) return
      try {
        await this.#options.onStored?.(stored)
      } catch (error) {
        this.#failure = error instanceof Error ? error : new Error(String(error))
        this.#awake()
      }
    })
  }

  /** The first so many gathered bytes. They count as held until `sent`. */
  #take(bytes: number): { body: Bytes; sent: () => void } {
    const { body, done } = this.#gathered.take(bytes)
    const letGo = this.#room.waiting.send(body.length)
    this.#sending += body.length
    this.#relieved = false
    this.#tap.resume()
    const sent = () => {
      done()
      this.#sending -= body.length
      letGo()
      // It may have failed, which a client that pauses is not to hold up.
      this.#awake()
    }
    return { body, sent }
  }

  #gather(bytes: Buffer): void {
    this.#gathered.add(bytes)
    this.#room.waiting.hold(bytes.length)
    if (this.#gathered.length > this.#partBytes) this.#awake()
  }

  get #isFull(): boolean {
    const { waiting } = this.#room
    const held = this.#sending + this.#gathered.length
    return this.#gathered.length > this.#partBytes || held >= waiting.share || waiting.isFull
  }

  /** What is on its way counts as well, if it is confirmed in time: the client is to hear of the failure. */
  async #giveUp(): Promise<void> {
    this.#hurry()
    this.#tap.stop()
    const { body, done } = this.#gathered.take(this.#gathered.length)
    done()
    this.#room.waiting.drop(body.length)
    await this.#segment?.giveUp()
    await this.#reporting
  }

  readonly #hurry = (): void => {
    this.#timer ??= setTimeout(() => this.#impatient.abort(), PATIENCE_MS)
  }

  #awake(): void {
    this.#wake?.()
    this.#wake = null
  }
}
