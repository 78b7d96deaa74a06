import { createCipheriv, createHash } from 'node:crypto'

const BLOCK = 16

/**
 * Bytes that look random, yet anyone with the same key can make any run of them again: the keystream of AES-CTR. No
 * two places of an upload, and no two uploads, look alike, so that bytes in the wrong place are noticed.
 */
export class KeyedBytes {
  readonly #key: Buffer
  readonly length: number

  constructor(key: string, length: number) {
    this.#key = createHash('sha256').update(key).digest().subarray(0, BLOCK)
    this.length = length
  }

  /** Bytes `[start, stop)`. */
  slice(start = 0, stop = this.length): Buffer {
    const first = Math.floor(start / BLOCK)
    const counter = Buffer.alloc(BLOCK)
    counter.writeBigUInt64BE(BigInt(first), BLOCK - 8)
    const skipped = start - first * BLOCK
    const stream = createCipheriv('aes-128-ctr', this.#key, counter).update(
      Buffer.alloc(stop - start + skipped),
    )
    return stream.subarray(skipped)
  }

  /** The same bytes in pieces, made as they are asked for. */
  *pieces(start = 0, stop = this.length, size = 64 * 1024): Generator<Buffer> {
    for (let at = start; at < stop; at += size) yield this.slice(at, Math.min(stop, at + size))
  }

  /** SHA-256 of bytes `[start, stop)`, in hex. */
  sha256(start = 0, stop = this.length): string {
    const hash = createHash('sha256')
    for (const piece of this.pieces(start, stop, 1024 * 1024)) hash.update(piece)
    return hash.digest('hex')
  }
}
