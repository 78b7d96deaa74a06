import type { UploadError } from '../../src/upload/errors.js'
import { storageError } from './storage-error.js'

/**
 * Makes the bytes of one file durable, and knows how many are. One sync runs at a time; who asks while it runs
 * shares the next one, because bytes stored after a sync began are not covered by it.
 *
 * A sync that failed is final: the kernel marks the pages clean all the same, so that a second sync would succeed
 * without having written them.
 */
export class Flush {
  readonly #stored: () => number
  readonly #sync: () => Promise<void>
  #durable = 0
  #failure: UploadError | null = null
  #running: Promise<number> | null = null
  #next: Promise<number> | null = null

  constructor(stored: () => number, sync: () => Promise<void>) {
    this.#stored = stored
    this.#sync = sync
  }

  /** How many bytes are known to be durable. */
  get durable(): number {
    return this.#durable
  }

  /** Why there will be no more durable bytes. */
  get failure(): UploadError | null {
    return this.#failure
  }

  get isRunning(): boolean {
    return this.#running !== null
  }

  /** Makes what is stored at this moment durable; resolves with the durable count. */
  async run(): Promise<number> {
    if (this.#running === null) return this.#begin()
    this.#next ??= this.#after(this.#running)
    return this.#next
  }

  async #after(running: Promise<number>): Promise<number> {
    await running.catch(() => undefined)
    this.#next = null
    return this.run()
  }

  async #begin(): Promise<number> {
    if (this.#failure !== null) throw this.#failure
    const stored = this.#stored()
    if (stored === this.#durable) return stored
    this.#running = this.#syncTo(stored)
    return this.#running
  }

  async #syncTo(stored: number): Promise<number> {
    try {
      await this.#sync()
      this.#durable = stored
      return stored
    } catch (error) {
      this.#failure = storageError(error)
      throw this.#failure
    } finally {
      this.#running = null
    }
  }
}
