import type { DataStore } from '@tus/utils'
import { Upload } from '@tus/utils'
import type { Blob } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import { bytesAloneAreGone, isPlainFile, syncPlainFile } from './plain-file.js'
import { isAbsent, isGone, storeError } from './store-error.js'

/**
 * Tells our blobs from the uploads of people in the same store. Without it somebody who knows the id of a blob could
 * read and delete it where a `ParallelStore` has that store as `inherited`, whoever owns it.
 */
const MARK = { tributary: 'blob' } as const

/** Whether an upload of a wrapped store is a blob of a `TusByteStore`. */
export function isBlob(upload: Upload): boolean {
  return upload.metadata?.tributary === MARK.tributary
}

/** Blobs as uploads of a @tus store. */
export class BlobUploads {
  readonly store: DataStore
  readonly #strict: boolean
  readonly #making = new Map<string, Promise<void>>()

  constructor(store: DataStore, durability: 'strict' | 'relaxed') {
    this.store = store
    this.#strict = durability === 'strict'
  }

  /** Null when there is none. */
  async find(blob: Blob): Promise<Upload | null> {
    try {
      return await this.store.getUpload(blob.id)
    } catch (error) {
      if (isAbsent(error)) return null
      throw storeError(error)
    }
  }

  /**
   * Whether its bytes alone are gone: the store says that it had it, and what it knows of it still lies where they were.
   * A store that keeps its knowledge elsewhere says the same while the disk of the bytes is not mounted.
   */
  async isLost(blob: Blob): Promise<boolean> {
    try {
      await this.store.getUpload(blob.id)
      return false
    } catch (error) {
      if (isGone(error)) return bytesAloneAreGone(this.store, blob.id)
      if (isAbsent(error)) return false
      throw storeError(error)
    }
  }

  /** Fails with `blob_gone` when there is none. */
  async get(blob: Blob): Promise<Upload> {
    const found = await this.find(blob)
    if (found === null) throw new UploadError('blob_gone', 'The bytes are no longer there.')
    return found
  }

  /** Makes the upload if it is missing. Its length is left open: a blob grows as long as its upload does. */
  async make(blob: Blob): Promise<void> {
    // FileStore's `create` empties what is there, so that two at once must not both call it.
    let making = this.#making.get(blob.id)
    if (making === undefined) {
      making = this.#make(blob).finally(() => this.#making.delete(blob.id))
      this.#making.set(blob.id, making)
    }
    await making
  }

  /** Makes what the store took outlive a power cut, where that is left to us. */
  async sync(upload: Upload): Promise<void> {
    if (this.#strict && isPlainFile(upload)) await syncPlainFile(upload)
  }

  async remove(blob: Blob): Promise<void> {
    try {
      await this.store.remove(blob.id)
    } catch (error) {
      if (!isAbsent(error)) throw storeError(error)
      // FileStore gives this answer for every failure: that it is gone must be seen.
      if ((await this.find(blob)) !== null) throw storeError(error)
    }
  }

  async #make(blob: Blob): Promise<void> {
    if ((await this.find(blob)) !== null) return
    try {
      await this.store.create(new Upload({ id: blob.id, offset: 0, metadata: { ...MARK } }))
    } catch (error) {
      throw storeError(error)
    }
  }
}
