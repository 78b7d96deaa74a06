import { Readable } from 'node:stream'

/** Bytes that may wait for the store before the source is paused. */
const WAITING_BYTES = 256 * 1024

export interface InflowOptions {
  readonly limit: number
  readonly signal?: AbortSignal
  readonly observe?: (bytes: Buffer) => void
}

export type InflowEnd = 'end' | 'cut' | 'aborted' | 'limit' | 'failed'

/** How much of the inflow one write of the wrapped store gets. */
export interface Portion {
  readonly bytes: number
  /** From its first byte on, in ms; null: until it has all its bytes. */
  readonly milliseconds: number | null
}

/**
 * What a source yields, for wrapped stores to read in portions. It counts, and every portion ends in order, whatever
 * happens to the source: stock stores answer a stream that breaks with an error that does not say how much they kept.
 * It lets go of the source without destroying it, because an answer may still have to go out over the same socket.
 */
export class Inflow {
  readonly #source: Readable
  readonly #options: InflowOptions
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #accepted = 0
  #given = 0
  #ended: InflowEnd | null = null
  #failure: Error | null = null
  #wake: (() => void) | null = null

  constructor(source: Readable, options: InflowOptions) {
    this.#source = source
    this.#options = options
    this.#begin()
  }

  /** Bytes given out so far. */
  get given(): number {
    return this.#given
  }

  /** Why no more bytes will come; null while some may. */
  get ended(): InflowEnd | null {
    return this.#ended
  }

  /** What `observe` threw. */
  get failure(): Error | null {
    return this.#failure
  }

  /** Resolves with whether there are bytes to be given: false when none will come, or none came by `deadline`. */
  async more(deadline: number | null = null): Promise<boolean> {
    if (this.#waiting.length === 0 && this.#ended === null) await this.#arrival(deadline)
    return this.#waiting.length > 0
  }

  /** The next bytes as a stream of their own, which ends when it has its portion or there are no more. */
  portion(portion: Portion): Readable {
    return Readable.from(this.#pieces(portion), { objectMode: false, highWaterMark: 1 })
  }

  /** Takes no more from the source, and drops what waits. */
  drop(): void {
    this.#end('failed')
    this.#waiting = []
    this.#waitingBytes = 0
  }

  async *#pieces({ bytes, milliseconds }: Portion): AsyncGenerator<Buffer> {
    const deadline = milliseconds === null ? null : performance.now() + milliseconds
    let left = bytes
    while (left > 0 && (await this.more(deadline))) {
      const piece = this.#take(left)
      left -= piece.length
      yield piece
      if (deadline !== null && performance.now() >= deadline) return
    }
  }

  #take(most: number): Buffer {
    const first = this.#waiting.shift() ?? Buffer.alloc(0)
    const piece = first.subarray(0, most)
    if (piece.length < first.length) this.#waiting.unshift(first.subarray(most))
    this.#waitingBytes -= piece.length
    this.#given += piece.length
    if (this.#ended === null && this.#waitingBytes < WAITING_BYTES) this.#source.resume()
    return piece
  }

  async #arrival(deadline: number | null): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      if (deadline !== null) timer = setTimeout(resolve, Math.max(0, deadline - performance.now()))
    })
    clearTimeout(timer)
  }

  #begin(): void {
    const source = this.#source
    if (source.readableEnded) this.#end('end')
    else if (source.destroyed || source.errored) this.#onCut()
    else if (this.#options.signal?.aborted) this.#end('aborted')
    else {
      this.#options.signal?.addEventListener('abort', this.#onAbort)
      source.on('end', this.#onEnd)
      source.on('error', this.#onCut)
      source.on('close', this.#onCut)
      source.on('data', this.#onData)
      // A source that somebody had paused does not start by itself.
      source.resume()
    }
  }

  readonly #onData = (chunk: unknown): void => {
    this.#accept(toBuffer(chunk, this.#source.readableEncoding))
    if (this.#ended === null && this.#waitingBytes >= WAITING_BYTES) this.#source.pause()
  }

  readonly #onEnd = (): void => this.#end('end')

  readonly #onAbort = (): void => this.#end('aborted')

  /** What the source had read before it broke is good, and saves the client from sending it again. */
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
    const room = this.#options.limit - this.#accepted
    const bytes = buffer.length > room ? buffer.subarray(0, room) : buffer
    if (bytes.length > 0) this.#keep(bytes)
    if (buffer.length > room) this.#end('limit')
  }

  #keep(bytes: Buffer): void {
    try {
      this.#options.observe?.(bytes)
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error))
      this.#end('failed')
      return
    }
    this.#accepted += bytes.length
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#wake?.()
  }

  #end(reason: InflowEnd): void {
    if (this.#ended !== null) return
    this.#ended = reason
    this.#detach()
    if (!this.#source.destroyed && !this.#source.readableEnded) {
      // It may fail later, when nobody else listens: that would be an uncaught exception about bytes nobody wants.
      this.#source.on('error', ignore)
      this.#source.pause()
    }
    this.#wake?.()
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
