import { LEAST_PART } from './part-grid.js'
import { LANES } from './segment-write.js'

const MIB = 1024 * 1024
/** No write makes larger parts, however much memory there is: with those that are sent at a time a killed server loses 60 MiB at most. */
const MOST_PART = 12 * MIB
/** Those that one write sends at a time, the one it gathers meanwhile, and as much for the others. */
const PARTS = LANES + 2
/** In ms: bytes that are on their way for longer are not counted on. Where all are so slow, that costs an object more now and then. */
const LATE_MS = 5_000

/** A write that gathers bytes for its next part. */
export interface Gathering {
  /** Bytes gathered that it would store at once if it were asked to; 0 while it is busy. */
  readonly waiting: number
  /** There is room again. */
  resume(): void
  /** Store now what was gathered, as an object of its own: its room is needed. */
  relieve(): void
}

/**
 * The memory that all writes of a store share. A part is gathered whole before it is sent, as a client may leave in the middle of
 * it; so with many slow clients all of it may be taken by parts that are not full. Then the fullest is stored as it is.
 * A provider that does not answer one of the writes holds up no other: `share` leaves them room, and what is on its way for too long is
 * no reason any more to wait for room.
 */
export class WaitingBytes {
  readonly #most: number
  readonly #writes = new Set<Gathering>()
  #held = 0
  /** Of these, what will soon be let go of. */
  #sending = 0

  constructor(most: number) {
    this.#most = most
  }

  get isFull(): boolean {
    return this.#held >= this.#most
  }

  /** Most that one write may hold, sent and gathered. More than a part in any case: who holds so much has a part to send, or one on its way. */
  get share(): number {
    return Math.max(LEAST_PART + 1, this.#most - Math.floor(this.#most / PARTS))
  }

  /**
   * How large the parts of a write that begins now should be, so that all writes have room for one, and for one that is sent; and one that
   * is alone for all that it sends at a time, while it gathers the next.
   */
  get partBytes(): number {
    const part = this.#most / Math.max(PARTS, 2 * this.#writes.size)
    return Math.min(MOST_PART, Math.max(LEAST_PART, Math.floor(part / MIB) * MIB))
  }

  join(write: Gathering): void {
    this.#writes.add(write)
  }

  leave(write: Gathering): void {
    this.#writes.delete(write)
    this.relieve()
  }

  hold(bytes: number): void {
    this.#held += bytes
    this.relieve()
  }

  /** So many of the held bytes are on their way; call what it returns when they need not be held any longer. */
  send(bytes: number): () => void {
    let counted = bytes
    const countOut = () => {
      this.#sending -= counted
      counted = 0
    }
    this.#sending += bytes
    const late = setTimeout(() => {
      countOut()
      this.relieve()
    }, LATE_MS).unref()
    return () => {
      clearTimeout(late)
      countOut()
      this.drop(bytes)
    }
  }

  /** Lets go of bytes that are not to be sent. */
  drop(bytes: number): void {
    this.#held -= bytes
    if (!this.isFull) for (const write of this.#writes) write.resume()
    this.relieve()
  }

  /**
   * While something is sent there will be room; else somebody has to make some. Whoever was busy and gathers again asks too: he may be the
   * only one who can.
   */
  relieve(): void {
    if (!this.isFull || this.#sending > 0) return
    let fullest: Gathering | null = null
    for (const write of this.#writes) if (write.waiting > (fullest?.waiting ?? 0)) fullest = write
    fullest?.relieve()
  }
}
