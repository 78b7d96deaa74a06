import { Readable } from 'node:stream'
import type { DataStore, Upload } from '@tus/utils'
import type { Blob } from '../../src/upload/blob.js'

/**
 * Ends blobs of stores that give nothing back before they know an upload's length: S3Store makes an object of its
 * parts only then. It is done when a blob is first read, because before that it may still grow; afterwards it
 * cannot.
 */
export class Sealing {
  readonly #store: DataStore
  readonly #running = new Map<string, Promise<void>>()

  constructor(store: DataStore) {
    this.#store = store
  }

  /** Does nothing when the length is known already: then the store has been told, here or by another process. */
  async seal(blob: Blob, found: Upload): Promise<void> {
    let running = this.#running.get(blob.id)
    if (running === undefined) {
      if (found.size !== undefined) return
      running = this.#seal(blob, found.offset).finally(() => this.#running.delete(blob.id))
      this.#running.set(blob.id, running)
    }
    await running
  }

  /** The second half of it, for a blob whose length is known but that could not be read, as `reason` says. */
  async finish(blob: Blob, found: Upload, reason: unknown): Promise<void> {
    // Sealed just now: then it is unreadable for another reason.
    if (found.size === undefined) throw reason
    await this.#finish(blob, found.size)
  }

  async #seal(blob: Blob, length: number): Promise<void> {
    await this.#store.declareUploadLength(blob.id, length)
    await this.#finish(blob, length)
  }

  /** A write that brings nothing but reaches the length is what makes a store finish. */
  async #finish(blob: Blob, length: number): Promise<void> {
    await this.#store.write(Readable.from([]), blob.id, length)
  }
}
