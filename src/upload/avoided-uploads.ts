import type { UploadId } from './upload.js'

/** Most uploads remembered as not to be followed. A forgotten one costs a question to the registry. */
const MOST_AVOIDED = 1_024

/** Uploads that are not to be followed, each for so long after it was added, in ms. */
export class AvoidedUploads {
  readonly #milliseconds: number
  /** With the time until then, the one added last at the end. */
  readonly #until = new Map<UploadId, number>()

  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds
  }

  add(id: UploadId): void {
    const [oldest] = this.#until.keys()
    if (this.#until.size >= MOST_AVOIDED && oldest !== undefined) this.#until.delete(oldest)
    this.#until.delete(id)
    this.#until.set(id, performance.now() + this.#milliseconds)
  }

  has(id: UploadId): boolean {
    const until = this.#until.get(id)
    if (until === undefined) return false
    if (performance.now() < until) return true
    this.#until.delete(id)
    return false
  }

  delete(id: UploadId): void {
    this.#until.delete(id)
  }
}
