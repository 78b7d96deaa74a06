import type { Readable } from 'node:stream'

/**
 * Makes a stream safe to be the body of a web Response, as stock GetHandler makes of it. On Node 20, undici closes the
 * Response's stream a moment after the iterator of the body has ended, and that throws, uncaught, when the client left
 * in between (`ERR_INVALID_STATE`): any download cut at its very end takes the process with it. An iterator that says
 * nothing more once its reader left gives undici nothing to close.
 */
export function quietEnd<Stream extends Readable>(stream: Stream): Stream {
  const iterate = stream[Symbol.asyncIterator].bind(stream)
  stream[Symbol.asyncIterator] = () => new QuietIterator(iterate())
  return stream
}

type Chunks = ReturnType<Readable[typeof Symbol.asyncIterator]>

class QuietIterator {
  readonly #chunks: Chunks
  #left = false

  constructor(chunks: Chunks) {
    this.#chunks = chunks
  }

  async next() {
    const result = await this.#chunks.next()
    return result.done && this.#left ? never() : result
  }

  async return() {
    this.#left = true
    await this.#chunks.return?.()
    return { done: true as const, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** Nobody waits for it: it is forgotten with its reader. */
function never(): Promise<never> {
  return new Promise(() => undefined)
}
