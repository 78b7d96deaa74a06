import type { Readable } from 'node:stream'

/**
 * Bytes that may wait for the file before the source is paused, and the most that is written at once. Measured over
 * HTTP against a bare sink: about as fast with 2 MiB, and no better with more; 0.8 of it with 512 KiB, because pausing
 * and resuming a socket is dear.
 */
const WAITING_BYTES = 2 * 1024 * 1024
/** Most buffers the operating system takes in one call (IOV_MAX of Linux and macOS); no more may wait, either. */
const WAITING_BUFFERS = 1024
/** The same when all uploads together hold more than SHARED_BYTES: a stalled disk must not fill the memory. */
const WAITING_BYTES_SHORT = 64 * 1024
const SHARED_BYTES = 32 * 1024 * 1024

/** The bytes all intakes of one store hold in memory. */
export interface Held {
  bytes: number
}

export interface IntakeOptions {
  readonly limit: number
  readonly signal?: AbortSignal
  readonly observe?: (bytes: Buffer) => void
}

export type IntakeEnd = 'end' | 'cut' | 'aborted' | 'limit' | 'failed'

/**
 * Gathers what a source yields while the file is busy, and hands it on in batches. It listens to the stream's own
 * events: a pipe or a web stream in between costs up to half of the throughput. It never destroys the source, since
 * an answer may still have to go out over the same socket; it only lets go of it.
 */
export class Intake {
  readonly #source: Readable
  readonly #options: IntakeOptions
  readonly #held: Held
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #received = 0
  #paused = false
  #ended: IntakeEnd | null = null
  #error: Error | null = null
  #wake: (() => void) | null = null

  constructor(source: Readable, options: IntakeOptions, held: Held) {
    this.#source = source
    this.#options = options
    this.#held = held
    this.#begin()
  }

  /** Why no more bytes will come; null while some may. Batches may still wait. */
  get ended(): IntakeEnd | null {
    return this.#ended
  }

  /** What `observe` threw, if that ended it. */
  get error(): Error | null {
    return this.#error
  }

  /** Takes the next batch, empty when nothing waits. Its bytes count as held until `release`. */
  take(): readonly Buffer[] {
    const batch = this.#waiting
    this.#waiting = batch.splice(WAITING_BUFFERS)
    this.#waitingBytes = size(this.#waiting)
    if (this.#paused && this.#ended === null && !this.#isFull()) {
      this.#paused = false
      this.#source.resume()
    }
    return batch
  }

  /** Resolves when there is something to take, or nothing more to come. */
  async more(): Promise<void> {
    if (this.#waiting.length > 0 || this.#ended !== null) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
  }

  /** Says that `bytes` of a batch are no longer held in memory. */
  release(bytes: number): void {
    this.#held.bytes -= bytes
  }

  /** Takes no more from the source, and drops what waits. */
  drop(batch: readonly Buffer[]): void {
    this.#end('failed')
    this.release(size(batch) + this.#waitingBytes)
    this.#waiting = []
    this.#waitingBytes = 0
  }

  #begin(): void {
    const source = this.#source
    if (source.readableEnded) this.#end('end')
    else if (source.destroyed || source.errored) this.#onCut()
    else if (this.#options.signal?.aborted) this.#end('aborted')
    else this.#listen(source)
  }

  #listen(source: Readable): void {
    this.#options.signal?.addEventListener('abort', this.#onAbort)
    source.on('end', this.#onEnd)
    source.on('error', this.#onCut)
    source.on('close', this.#onCut)
    source.on('data', this.#onData)
    // A source that somebody had paused does not start by itself.
    source.resume()
  }

  readonly #onData = (chunk: unknown): void => {
    this.#accept(toBuffer(chunk, this.#source.readableEncoding))
    if (this.#ended === null && !this.#paused && this.#isFull()) {
      this.#paused = true
      this.#source.pause()
    }
  }

  readonly #onEnd = (): void => this.#end('end')

  readonly #onAbort = (): void => this.#end('aborted')

  /** What the stream had read before it broke is good, and saves the client from sending it again. */
  readonly #onCut = (): void => {
    this.#detach()
    while (this.#ended === null) {
      const chunk: unknown = this.#source.read()
      if (chunk === null) break
      this.#accept(toBuffer(chunk, this.#source.readableEncoding))
    }
    this.#end('cut')
  }

  #accept(buffer: Buffer): void {
    const room = this.#options.limit - this.#received
    const bytes = buffer.length > room ? buffer.subarray(0, room) : buffer
    if (bytes.length > 0) this.#keep(bytes)
    if (buffer.length > room) this.#end('limit')
  }

  #keep(bytes: Buffer): void {
    try {
      this.#options.observe?.(bytes)
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error(String(error))
      this.#end('failed')
      return
    }
    this.#received += bytes.length
    this.#held.bytes += bytes.length
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#awake()
  }

  #isFull(): boolean {
    const most = this.#held.bytes > SHARED_BYTES ? WAITING_BYTES_SHORT : WAITING_BYTES
    return this.#waitingBytes >= most || this.#waiting.length >= WAITING_BUFFERS
  }

  #end(reason: IntakeEnd): void {
    if (this.#ended !== null) return
    this.#ended = reason
    this.#detach()
    if (!this.#source.destroyed && !this.#source.readableEnded) {
      // It may fail later, when nobody else listens: that would be an uncaught exception about bytes nobody wants.
      this.#source.on('error', ignore)
      this.#source.pause()
    }
    this.#awake()
  }

  #detach(): void {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#source.off('data', this.#onData)
    this.#source.off('end', this.#onEnd)
    this.#source.off('error', this.#onCut)
    this.#source.off('close', this.#onCut)
  }

  #awake(): void {
    this.#wake?.()
    this.#wake = null
  }
}

function size(buffers: readonly Buffer[]): number {
  return buffers.reduce((sum, buffer) => sum + buffer.length, 0)
}

function toBuffer(chunk: unknown, encoding: BufferEncoding | null): Buffer {
  if (Buffer.isBuffer(chunk)) return chunk
  if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  return Buffer.from(String(chunk), encoding ?? 'utf8')
}

const ignore = (): undefined => undefined
