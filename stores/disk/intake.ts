import type { Readable } from 'node:stream'
import { sizeOf } from '../source/size-of.js'
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
/**
 * Fewer bytes wait for more, for so many ms, before they are written: a write has a thread woken, and its end has the
 * main thread woken, whatever its size. Measured over HTTP with 1 GiB, both on one machine of two processors: a fifth
 * less of the system's time than without, and no less with 1 MiB.
 */
const GATHERED_BYTES = 256 * 1024
const GATHER_MS = 2
/**
 * Nothing waits for more when all uploads together hold this much. Bytes of many slow clients come within one turn of the event
 * loop: 31 MiB of 500 of them, seen with 64 KiB each, before a timer is heard.
 */
const GATHERED_TOGETHER = 2 * 1024 * 1024

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
  #timer: NodeJS.Timeout | null = null
  #due = false

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

  /** How many bytes wait. */
  get waiting(): number {
    return this.#waitingBytes
  }

  /** Takes the next batch, empty when nothing waits. Its bytes count as held until `release`. */
  take(): readonly Buffer[] {
    // A new array: the old one has outlived young collections. Were it given away, it would keep its bytes for as long as V8 does not
    // collect all of its heap: 60 MiB with 500 uploads.
    const batch = this.#waiting.splice(0, WAITING_BUFFERS)
    this.#waitingBytes = sizeOf(this.#waiting)
    this.#due = false
    this.#tap.resume()
    return batch
  }

  /** Resolves when so much waits that writing it is worth while, or has waited for long, or nothing more will come. */
  async gathered(): Promise<void> {
    if (this.#isGathered()) return
    if (this.#waiting.length > 0) this.#hurry()
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
    this.release(sizeOf(batch) + this.#waitingBytes)
    this.#waiting = []
    this.#waitingBytes = 0
  }

  #keep(bytes: Buffer): void {
    this.#held.bytes += bytes.length
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    if (this.#wake === null) return
    if (this.#isGathered()) this.#awake()
    else this.#hurry()
  }

  #isGathered(): boolean {
    const { ended, waiting } = this
    if (ended !== null || this.#due || waiting >= GATHERED_BYTES || this.#isFull()) return true
    return waiting > 0 && this.#held.bytes >= GATHERED_TOGETHER
  }

  /** Whoever waits does not do so for ever. */
  #hurry(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null
      this.#due = true
      this.#awake()
    }, GATHER_MS)
  }

  #isFull(): boolean {
    const most = this.#held.bytes > SHARED_BYTES ? WAITING_BYTES_SHORT : WAITING_BYTES
    return this.#waitingBytes >= most || this.#waiting.length >= WAITING_BUFFERS
  }

  #awake(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#wake?.()
    this.#wake = null
  }
}
