import { Readable } from 'node:stream'
import type { Blob } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import type { BlobFiles } from './blob-files.js'
import { storageError } from './storage-error.js'

/** Bytes per read, and as many are read ahead. From 256 KiB to 1 MiB no difference was measured. */
const READ_BYTES = 512 * 1024

/**
 * Bytes `[start, stop)` of a blob. Not fs.ReadStream, because that ends without a word where the file ends, while
 * here a file shorter than its rows say is a broken promise (law 2) that must be heard of.
 */
export class BlobRead extends Readable {
  readonly #files: BlobFiles
  readonly #blob: Blob
  readonly #stop: number
  #position: number
  #fd: number | null = null
  #reading: Promise<void> | null = null

  constructor(files: BlobFiles, blob: Blob, start: number, stop: number) {
    super({ highWaterMark: READ_BYTES })
    this.#files = files
    this.#blob = blob
    this.#position = start
    this.#stop = stop
  }

  override _construct(callback: (error?: Error | null) => void): void {
    this.#files.openForReading(this.#blob).then((fd) => {
      this.#fd = fd
      callback()
    }, callback)
  }

  override _read(): void {
    if (this.#fd === null) return
    this.#reading = this.#next(this.#fd).then(
      (bytes) => {
        this.#reading = null
        this.push(bytes)
      },
      (error) => {
        this.#reading = null
        this.destroy(storageError(error))
      },
    )
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#close().then(
      () => callback(error),
      (closing) => callback(error ?? storageError(closing)),
    )
  }

  async #next(fd: number): Promise<Buffer | null> {
    const wanted = Math.min(READ_BYTES, this.#stop - this.#position)
    if (wanted === 0) return null
    // Not from the shared pool: whoever keeps a slice of it would keep all of it.
    const buffer = Buffer.allocUnsafeSlow(wanted)
    const read = await this.#files.calls.read(fd, buffer, this.#position)
    if (read === 0) {
      throw new UploadError('storage_failed', 'The storage holds fewer bytes than were recorded.')
    }
    this.#position += read
    return read === wanted ? buffer : buffer.subarray(0, read)
  }

  async #close(): Promise<void> {
    // A descriptor closed during a read may be another file's by the time the read happens.
    await this.#reading
    if (this.#fd === null) return
    const fd = this.#fd
    this.#fd = null
    await this.#files.calls.close(fd)
  }
}
