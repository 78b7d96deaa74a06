import { BLOCK_BYTES, type Blocks } from './blocks.js'
import { type Bytes, divided } from './bytes.js'

export interface Taken {
  readonly body: Bytes
  /** The body is not needed any more. */
  done(): void
}

/** Bytes of one write that wait for being sent, in blocks. */
export class Gathered {
  readonly #blocks: Blocks
  /** The last one is of `#block`, up to `#filled`. One array for good: it grows old, and would keep what it had if it were given away. */
  readonly #pieces: Buffer[] = []
  #length = 0
  #block: Buffer | null = null
  #filled = 0

  constructor(blocks: Blocks) {
    this.#blocks = blocks
  }

  get length(): number {
    return this.#length
  }

  add(bytes: Buffer): void {
    this.#length += bytes.length
    // Few bytes stay as they came: with many slow clients, or small uploads, blocks would take more memory than what is in them.
    if (this.#block === null && this.#length < BLOCK_BYTES) {
      this.#pieces.push(bytes)
      return
    }
    const few = this.#block === null ? this.#pieces.splice(0) : []
    for (const piece of [...few, bytes]) this.#copy(piece)
  }

  /** Takes the first so many bytes. */
  take(length: number): Taken {
    const [first, rest] = divided({ pieces: this.#pieces, length: this.#length }, length)
    this.#pieces.splice(0, this.#pieces.length, ...rest.pieces)
    this.#length = rest.length
    const blocks = first.pieces.filter((piece) => piece.length === BLOCK_BYTES)
    if (rest.length === 0) blocks.push(...this.#leaveBlock(first.pieces))
    // A request that failed may have been answered before all of it was sent, and be read from still.
    let sentOnce = true
    const body = {
      ...first,
      failed: () => {
        sentOnce = false
      },
    }
    return { body, done: () => sentOnce && this.#blocks.giveBack(blocks) }
  }

  /** The last block, if it is not full and all that is in it is in `pieces`. */
  #leaveBlock(pieces: readonly Buffer[]): readonly Buffer[] {
    const block = this.#block
    this.#block = null
    if (block === null || this.#filled === block.length || pieces.at(-1)?.byteOffset !== 0) return []
    return [block]
  }

  #copy(bytes: Buffer): void {
    for (let copied = 0; copied < bytes.length; ) copied += this.#fill(bytes, copied)
  }

  /** Copies what there is room for in the last block; returns how much. */
  #fill(bytes: Buffer, from: number): number {
    if (this.#block === null || this.#filled === this.#block.length) {
      this.#block = this.#blocks.take()
      this.#filled = 0
      this.#pieces.push(this.#block.subarray(0, 0))
    }
    const copied = bytes.copy(this.#block, this.#filled, from)
    this.#filled += copied
    const last = this.#pieces.length - 1
    // Its beginning may have been taken already.
    const begin = this.#pieces[last]?.byteOffset ?? 0
    this.#pieces[last] = this.#block.subarray(begin, this.#filled)
    return copied
  }
}
