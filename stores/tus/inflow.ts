import { Readable } from 'node:stream'
import { SourceTap, type TapEnd, type TapOptions } from '../source/tap.js'

/** Bytes that may wait for the store before the source is paused. */
const WAITING_BYTES = 256 * 1024

/** How much of the inflow one write of the wrapped store gets. */
export interface Portion {
  readonly bytes: number
  /** From its first byte on, in ms; null: until it has all its bytes. */
  readonly milliseconds: number | null
}

/**
 * What a source yields, for wrapped stores to read in portions. It counts, and every portion ends in order, whatever
 * happens to the source: stock stores answer a stream that breaks with an error that does not say how much they kept.
 */
export class Inflow {
  readonly #tap: SourceTap
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #given = 0
  #wake: (() => void) | null = null

  constructor(source: Readable, options: TapOptions) {
    this.#tap = new SourceTap(source, options, {
      bytes: (bytes) => this.#keep(bytes),
      isFull: () => this.#waitingBytes >= WAITING_BYTES,
      ended: () => this.#wake?.(),
    })
  }

  /** Bytes given out so far. */
  get given(): number {
    return this.#given
  }

  /** Why no more bytes will come; null while some may. */
  get ended(): TapEnd | null {
    return this.#tap.ended
  }

  /** What `observe` threw. */
  get failure(): Error | null {
    return this.#tap.error
  }

  /** Resolves with whether there are bytes to be given: false when none will come, or none came by `deadline`. */
  async more(deadline: number | null = null): Promise<boolean> {
    if (this.#waiting.length === 0 && this.ended === null) await this.#arrival(deadline)
    return this.#waiting.length > 0
  }

  /** The next bytes as a stream of their own, which ends when it has its portion or there are no more. */
  portion(portion: Portion): Readable {
    return Readable.from(this.#pieces(portion), { objectMode: false, highWaterMark: 1 })
  }

  /** Takes no more from the source, and drops what waits. */
  drop(): void {
    this.#tap.stop()
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
    this.#tap.resume()
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

  #keep(bytes: Buffer): void {
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#wake?.()
  }
}
