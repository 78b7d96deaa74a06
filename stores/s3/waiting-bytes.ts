import { LEAST_PART } from './part-grid.js'

const MIB = 1024 * 1024
/** A write that is alone makes no larger parts: with the four that are sent at a time a killed server loses 60 MiB at most. */
const MOST_PART = 12 * MIB

/** A write that gathers bytes for its next part. */
export interface Gathering {
  /** Bytes gathered. */
  readonly waiting: number
  /** There is room again. */
  resume(): void
  /** Store now what was gathered, as an object of its own: its room is needed. */
  relieve(): void
}

/**
 * The memory that all writes of a store share. A part is gathered whole before it is sent, as a client may leave in the middle of
 * it; so with many slow clients all of it may be taken by parts that are not full. Then the fullest is stored as it is.
 */
export class WaitingBytes {
  readonly #most: number
  readonly #writes = new Set<Gathering>()
  #held = 0
  #sending = 0

  constructor(most: number) {
    this.#most = most
  }

  get isFull(): boolean {
    return this.#held >= this.#most
  }

  /** How large the parts of a write that begins now should be, so that all writes have room for one, and for one that is sent. */
  get partBytes(): number {
    const share = this.#most / (2 * Math.max(1, this.#writes.size))
    return Math.min(MOST_PART, Math.max(LEAST_PART, Math.floor(share / MIB) * MIB))
  }

  join(write: Gathering): void {
    this.#writes.add(write)
  }

  leave(write: Gathering): void {
    this.#writes.delete(write)
    this.#relieve()
  }

  hold(bytes: number): void {
    this.#held += bytes
    this.#relieve()
  }

  /** So many of the held bytes are on their way, and will be let go of. */
  send(bytes: number): void {
    this.#sending += bytes
  }

  sent(bytes: number): void {
    this.#sending -= bytes
    this.drop(bytes)
  }

  /** Lets go of bytes that are not to be sent. */
  drop(bytes: number): void {
    this.#held -= bytes
    if (!this.isFull) for (const write of this.#writes) write.resume()
    this.#relieve()
  }

  /** While something is sent there will be room; else somebody has to make some. */
  #relieve(): void {
    if (!this.isFull || this.#sending > 0) return
    let fullest: Gathering | null = null
    for (const write of this.#writes) if (write.waiting > (fullest?.waiting ?? 0)) fullest = write
    fullest?.relieve()
  }
}
