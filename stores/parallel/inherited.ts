import type { Readable } from 'node:stream'
import type { DataStore, Upload } from '@tus/utils'
import { notFound } from '../../src/upload/errors.js'
import { isReadable } from '../tus/blob-read.js'
import { isBlob } from '../tus/blob-uploads.js'
import { isAbsent, isGone } from '../tus/store-error.js'
import { stockDate } from './stock-upload.js'

/** A stock store in use before, whose uploads keep their addresses and their bytes where they are. */
export class InheritedUploads {
  readonly #store: DataStore
  readonly #expiration: number | null

  constructor(store: DataStore, expiration: number | null) {
    this.#store = store
    this.#expiration = expiration
  }

  /** Whether the store answers for this id, be it with 410. Blobs of a `TusByteStore` over the same store are no uploads. */
  async has(id: string): Promise<boolean> {
    try {
      return !isBlob(await this.#store.getUpload(id))
    } catch (error) {
      if (isGone(error)) return true
      if (isAbsent(error)) return false
      throw error
    }
  }

  /**
   * The upload, dated as stock handlers need it: they reckon with the expiration of the store they work on, which
   * is ours, but this upload goes by its own store's.
   */
  async find(id: string): Promise<Upload> {
    const upload = await this.#store.getUpload(id)
    if (isBlob(upload)) throw notFound()
    upload.creation_date = stockDate(datesOf(upload, this.#store.getExpiration()), this.#expiration)
    return upload
  }

  write(source: Readable, id: string, offset: number): Promise<number> {
    return this.#store.write(source, id, offset)
  }

  declareLength(id: string, length: number): Promise<void> {
    return this.#store.declareUploadLength(id, length)
  }

  async read(id: string): Promise<Readable> {
    if (!isReadable(this.#store)) throw notFound()
    return this.#store.read(id)
  }

  remove(id: string): Promise<void> {
    return this.#store.remove(id)
  }
}

function datesOf(upload: Upload, expiration: number) {
  const createdAt = new Date(upload.creation_date ?? Date.now())
  const expires = expiration > 0 && upload.offset !== upload.size
  return { createdAt, expiresAt: expires ? new Date(createdAt.getTime() + expiration) : null }
}
