import type { Readable } from 'node:stream'
import { SourceTap, type TapEnd, type TapOptions } from '../source/tap.js'

/**
 * Bytes that may wait for the file before the source is paused, and the most that is written at once. Measured over
 * HTTP against a bare sink: about as fast with 2 MiB, and no better with more; 0.8 of it with 512 KiB, because pausing
 * and resuming a socket is dear.
 */
const WAITING_BYTES = 2 * 1024 * 1024
/** Most buffers the operating system takes in one call (IOV_MAX of Linux and macOS); no more may wait, either. */
const WAITING_BUFFERS = 1024
/**
 * The same when all uploads together hold more than SHARED_BYTES: a stalled disk must not fill the memory. Measured
 * with 8 parallel parts of 1 GiB in all: the process peaks at 142-158 MiB with 12 MiB and at 173-211 MiB with 32,
 * and is as fast.
 */
const WAITING_BYTES_SHORT = 64 * 1024
const SHARED_BYTES = 12 * 1024 * 1024

/** The bytes all intakes of one store hold in memory. */
export interface Held {
  bytes: number
}

/** Gathers what a source yields while the file is busy, and hands it on in batches. */
export class Intake {
  readonly #held: Held
  readonly #tap: SourceTap
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #wake: (() => void) | null = null

  constructor(source: Readable, options: TapOptions, held: Held) {
    this.#held = held
    this.#tap = new SourceTap(source, options, {
      bytes: (bytes) => this.#keep(bytes),
      isFull: () => this.#isFull(),
      ended: () => this.#awake(),
    })
  }

  /** Why no more bytes will come; null while some may. Batches may still wait. */
  get ended(): TapEnd | null {
    return this.#tap.ended
  }

  /** What `observe` threw, if that ended it. */
  get error(): Error | null {
    return this.#tap.error
  }

  /** Takes the next batch, empty when nothing waits. Its bytes count as held until `release`. */
  take(): readonly Buffer[] {
    const batch = this.#waiting
    this.#waiting = batch.splice(WAITING_BUFFERS)
    this.#waitingBytes = size(this.#waiting)
    this.#tap.resume()
    return batch
  }

  /** Resolves when there is something to take, or nothing more to come. */
  async more(): Promise<void> {
    if (this.#waiting.length > 0 || this.ended !== null) return
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
    this.#tap.stop()
    this.release(size(batch) + this.#waitingBytes)
    this.#waiting = []
    this.#waitingBytes = 0
  }

  #keep(bytes: Buffer): void {
    this.#held.bytes += bytes.length
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#awake()
  }

  #isFull(): boolean {
    const most = this.#held.bytes > SHARED_BYTES ? WAITING_BYTES_SHORT : WAITING_BYTES
    return this.#waitingBytes >= most || this.#waiting.length >= WAITING_BUFFERS
  }

  #awake(): void {
    this.#wake?.()
    this.#wake = null
  }
}

function size(buffers: readonly Buffer[]): number {
  return buffers.reduce((sum, buffer) => sum + buffer.length, 0)
}
