import type { Readable } from 'node:stream'

export interface TapOptions {
  /** Most bytes to take; one more ends it with `limit`. */
  readonly limit: number
  readonly signal?: AbortSignal
  /** Sees every byte once, in order, before it is passed on. */
  readonly observe?: (bytes: Buffer) => void
}

/** See `WriteResult` in `src/upload/ports.ts`. */
export type TapEnd = 'end' | 'cut' | 'aborted' | 'limit' | 'failed'

/** Who the bytes are for. Called synchronously, also while the tap is being made. */
export interface TapSink {
  bytes(bytes: Buffer): void
  /** Whether no more should come for now: then the source is paused until `resume`. */
  isFull(): boolean
  /** Nothing more will come. */
  ended(): void
}

/**
 * Takes what a source yields, by the stream's own events: a pipe or a web stream in between costs up to half of the
 * throughput. It never destroys the source, since an answer may still have to go out over the same socket; it only
 * lets go of it.
 */
export class SourceTap {
  readonly #source: Readable
  readonly #options: TapOptions
  readonly #sink: TapSink
  #taken = 0
  #paused = false
  #ended: TapEnd | null = null
  #error: Error | null = null

  constructor(source: Readable, options: TapOptions, sink: TapSink) {
    this.#source = source
    this.#options = options
    this.#sink = sink
    this.#begin()
  }

  /** Why no more bytes will come; null while some may. */
  get ended(): TapEnd | null {
    return this.#ended
  }

  /** What `observe` threw, if that ended it. */
  get error(): Error | null {
    return this.#error
  }

  /** Lets the source go on, if it was paused and the sink has room again. */
  resume(): void {
    if (!this.#paused || this.#ended !== null || this.#sink.isFull()) return
    this.#paused = false
    this.#source.resume()
  }

  /** Takes no more. */
  stop(): void {
    this.#end('failed')
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
    if (this.#ended !== null || this.#paused || !this.#sink.isFull()) return
    this.#paused = true
    this.#source.pause()
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
    const room = this.#options.limit - this.#taken
    const bytes = buffer.length > room ? buffer.subarray(0, room) : buffer
    if (bytes.length > 0) this.#pass(bytes)
    if (buffer.length > room) this.#end('limit')
  }

  #pass(bytes: Buffer): void {
    try {
      this.#options.observe?.(bytes)
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error(String(error))
      this.#end('failed')
      return
    }
    this.#taken += bytes.length
    this.#sink.bytes(bytes)
  }

  #end(reason: TapEnd): void {
    if (this.#ended !== null) return
    this.#ended = reason
    this.#detach()
    if (!this.#source.destroyed && !this.#source.readableEnded) {
      // It may fail later, when nobody else listens: that would be an uncaught exception about bytes nobody wants.
      this.#source.on('error', ignore)
      this.#source.pause()
    }
    this.#sink.ended()
  }

  #detach(): void {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#source.off('data', this.#onData)
    this.#source.off('end', this.#onEnd)
    this.#source.off('error', this.#onCut)
    this.#source.off('close', this.#onCut)
  }
}

function toBuffer(chunk: unknown, encoding: BufferEncoding | null): Buffer {
  if (Buffer.isBuffer(chunk)) return chunk
  if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  return Buffer.from(String(chunk), encoding ?? 'utf8')
}

const ignore = (): undefined => undefined
