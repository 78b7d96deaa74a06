import type { Readable } from 'node:stream'
import type { Upload } from '@tus/utils'
import { UploadError } from '../../src/upload/errors.js'
import type { BlobWrite, WriteOptions, WriteResult } from '../../src/upload/ports.js'
import type { BlobUploads } from './blob-uploads.js'
import { Inflow } from './inflow.js'
import { portionAt } from './portion-size.js'
import { type BlobTarget, prepare, refuseLeftover } from './prepare.js'
import { storeError } from './store-error.js'

/** One write into one blob: as many writes of the wrapped store, one after the other, as there are portions. */
export class TusBlobWrite implements BlobWrite {
  readonly done: Promise<WriteResult>

  readonly #uploads: BlobUploads
  readonly #target: BlobTarget
  readonly #options: WriteOptions
  readonly #inflow: Inflow
  /** Bytes of portions the store has ended; it tells nothing of the one under way. */
  #durable = 0

  constructor(uploads: BlobUploads, target: BlobTarget, source: Readable, options: WriteOptions) {
    this.#uploads = uploads
    this.#target = target
    this.#options = options
    this.#inflow = new Inflow(source, options)
    this.done = this.#run()
  }

  async durable(): Promise<number> {
    return this.#durable
  }

  async #run(): Promise<WriteResult> {
    try {
      const found = await prepare(this.#uploads, this.#target, this.#options.fresh)
      refuseLeftover(found, this.#target.position)
      while (await this.#inflow.more()) {
        await this.#store(found)
        await this.#report()
      }
      if (this.#inflow.failure !== null) throw new Interrupted(this.#inflow.failure)
    } catch (error) {
      this.#inflow.drop()
      const failure = error instanceof Interrupted ? error.reason : storeError(error)
      return { stored: this.#durable, ended: 'failed', error: failure }
    }
    return { stored: this.#durable, ended: this.#inflow.ended ?? 'end' }
  }

  /** Stores one portion. */
  async #store(found: Upload): Promise<void> {
    const { store } = this.#uploads
    const position = this.#target.position + this.#durable
    const before = this.#inflow.given
    const given = () => this.#inflow.given - before
    try {
      const portion = this.#inflow.portion(portionAt(position, found))
      const offset = await store.write(portion, this.#target.blob.id, position)
      await this.#uploads.sync(found)
      this.#durable += within(offset - position, given())
      if (given() === 0 || offset - position < given()) throw shortfall()
    } catch (error) {
      // With leftovers in the file it cannot be told which bytes are new: then the client sends them again.
      if (found.offset <= this.#target.position) this.#durable += await this.#keptOf(given())
      throw error
    }
  }

  async #report(): Promise<void> {
    try {
      await this.#options.onStored?.(this.#durable)
    } catch (error) {
      throw new Interrupted(error)
    }
  }

  /** How many of the bytes given to it a failed write kept. */
  async #keptOf(given: number): Promise<number> {
    try {
      const found = await this.#uploads.get(this.#target.blob)
      await this.#uploads.sync(found)
      return within(found.offset - this.#target.position - this.#durable, given)
    } catch {
      return 0 // the failure that led here is the one to be told
    }
  }
}

/** Carries what a callback threw past the translation of the store's own failures. */
class Interrupted extends Error {
  readonly reason: Error

  constructor(reason: unknown) {
    super('a callback ended the write')
    this.reason = reason instanceof Error ? reason : new Error(String(reason))
  }
}

function within(bytes: number, most: number): number {
  return Math.max(0, Math.min(bytes, most))
}

function shortfall(): UploadError {
  return new UploadError('storage_failed', 'The storage took fewer bytes than it was given.')
}
