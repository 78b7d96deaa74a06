/** As much as comes from a socket at once. Larger ones cost as much processor time, and more memory with many slow clients. */
export const BLOCK_BYTES = 64 * 1024

/**
 * Memory for bytes that wait, used again and again. The buffers that bytes come in would have to live for as long as their part takes to
 * become full, and so be collected with all of the heap: measured with one stream, 3.9 s of processor time a GiB instead of 3.1, and
 * with 16 uploads 260 MiB instead of 219.
 */
export class Blocks {
  readonly #most: number
  readonly #free: Buffer[] = []

  /** @param bytes most that are kept for further use */
  constructor(bytes: number) {
    this.#most = Math.floor(bytes / BLOCK_BYTES)
  }

  /** How many are kept for further use. */
  get free(): number {
    return this.#free.length
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
  }

  /** Nobody may read them any more. */
  giveBack(blocks: readonly Buffer[]): void {
    this.#free.push(...blocks.slice(0, this.#most - this.#free.length))
  }
}
