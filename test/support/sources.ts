import { Readable } from 'node:stream'

/** Bytes that tell their position, so that a misplaced or repeated run is seen. */
export function pattern(length: number, seed = 0): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at++) bytes[at] = ((at + seed) * 2654435761) >>> 24
  return bytes
}

/** A source a test feeds by hand: `push`, then `end`, `destroy`, or nothing. */
export class HandSource extends Readable {
  constructor() {
    super({ highWaterMark: 1024 * 1024 })
  }

  override _read(): void {
    // Bytes come when the test pushes them.
  }

  end(): void {
    this.push(null)
  }
}

/** A source of `length` patterned bytes in chunks of `chunk`, which counts what was asked of it. */
export class PatternSource extends Readable {
  produced = 0
  readonly #length: number
  readonly #chunk: number

  constructor(length: number, chunk = 64 * 1024) {
    super({ highWaterMark: chunk })
    this.#length = length
    this.#chunk = chunk
  }

  override _read(): void {
    const size = Math.min(this.#chunk, this.#length - this.produced)
    if (size === 0) {
      this.push(null)
      return
    }
    const bytes = pattern(size, this.produced)
    this.produced += size
    this.push(bytes)
  }
}

/** Bytes in pieces as they come from a socket. */
export function* slices(content: Buffer): Generator<Buffer> {
  for (let at = 0; at < content.length; at += 64 * 1024) yield content.subarray(at, at + 64 * 1024)
}

/** Yields `bytes` in pieces, each as large and after as many ms as `pace` says. */
export class PacedSource extends Readable {
  readonly #pace: () => { readonly bytes: number; readonly ms: number }
  #rest: Buffer

  constructor(bytes: Buffer, pace: () => { readonly bytes: number; readonly ms: number }) {
    super()
    this.#rest = bytes
    this.#pace = pace
  }

  override _read(): void {
    const { bytes, ms } = this.#pace()
    setTimeout(() => this.#yield(1 + Math.floor(bytes)), ms)
  }

  #yield(bytes: number): void {
    const piece = this.#rest.subarray(0, bytes)
    this.#rest = this.#rest.subarray(bytes)
    this.push(piece.length === 0 ? null : piece)
  }
}

export async function collect(source: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of source) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}
