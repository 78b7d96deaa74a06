import type { Readable } from 'node:stream'
import type { Blob } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import type { BlobWrite, WriteOptions, WriteResult } from '../../src/upload/ports.js'
import { sizeOf } from '../source/size-of.js'
import type { BlobFiles, OpenFile } from './blob-files.js'
import type { FileCalls } from './file-calls.js'
import { Flush } from './flush.js'
import { type Held, Intake } from './intake.js'
import { SMALL_BYTES } from './prompt-calls.js'
import { storageError } from './storage-error.js'

/**
 * How much may be stored before it is synced in the background, so that little is left to do when the source ends.
 * Measured with uploads of 512 MiB on a disk slower than the network: about a sixth faster in the median.
 */
const FLUSH_BYTES = 16 * 1024 * 1024

export interface BlobTarget {
  readonly blob: Blob
  readonly position: number
}

/**
 * One write into one file. Whatever ends it, the same way out is taken: what was gathered is stored, what was stored
 * is synced, the file is closed, and only then is it done, so that no late byte can reach the file.
 */
export class DiskBlobWrite implements BlobWrite {
  readonly done: Promise<WriteResult>

  readonly #files: BlobFiles
  readonly #blob: Blob
  readonly #options: WriteOptions
  readonly #intake: Intake
  readonly #flush: Flush
  readonly #position: number
  #isSmall = false
  #file: OpenFile | null = null
  #stored = 0

  constructor(
    files: BlobFiles,
    target: BlobTarget,
    source: Readable,
    options: WriteOptions,
    held: Held,
    syncs: boolean,
  ) {
    this.#files = files
    this.#blob = target.blob
    this.#options = options
    this.#position = target.position
    this.#intake = new Intake(source, options, held)
    this.#flush = new Flush(() => this.#stored, syncs ? () => this.#sync() : () => Promise.resolve())
    this.done = this.#run()
  }

  durable(): Promise<number> {
    return this.#flush.run()
  }

  async #run(): Promise<WriteResult> {
    let file: OpenFile
    await this.#intake.gathered()
    const { ended, error: refusal, waiting } = this.#intake
    // No file for a request that broke off before its first byte: its blob may be gone by now, and nobody would remove it.
    if (ended !== null && ended !== 'end' && waiting === 0) {
      return refusal === null ? { stored: 0, ended } : { stored: 0, ended: 'failed', error: refusal }
    }
    this.#isSmall = ended !== null && waiting <= SMALL_BYTES
    try {
      file = await this.#files.openForWriting(this.#blob, this.#options.fresh, this.#calls)
    } catch (error) {
      this.#intake.drop([])
      return { stored: 0, ended: 'failed', error: asError(error) }
    }
    this.#file = file
    const failure = await this.#fill(file.fd)
    const unsettled = await this.#settle(file.fd)
    const error = failure ?? unsettled
    const stored = unsettled === null ? this.#stored : this.#flush.durable
    if (error !== null) return { stored, ended: 'failed', error }
    return { stored, ended: this.#intake.ended ?? 'end' }
  }

  /** Asked each time: a file system may have become slow since. */
  get #calls(): FileCalls {
    return this.#isSmall ? this.#files.smallCalls : this.#files.calls
  }

  /** Stores everything the source yields. Resolves with what stopped it, if something did. */
  async #fill(fd: number): Promise<Error | null> {
    while (this.#intake.ended === null || this.#intake.waiting > 0) {
      await this.#intake.gathered()
      // Not kept in a variable, which would hold these bytes while the next are waited for.
      const failure = await this.#store(fd, this.#intake.take())
      if (failure !== null) return failure
    }
    return this.#intake.error
  }

  /** Stores one batch, in as many writes as the operating system makes of it. */
  async #store(fd: number, batch: readonly Buffer[]): Promise<Error | null> {
    let rest = batch
    try {
      while (rest.length > 0) {
        const written = await this.#write(fd, rest)
        rest = after(rest, written)
        this.#flushEarly()
        await this.#options.onStored?.(this.#stored)
        if (this.#flush.failure !== null) throw this.#flush.failure
      }
      return null
    } catch (error) {
      this.#intake.drop(rest)
      return asError(error)
    }
  }

  #flushEarly(): void {
    if (this.#flush.isRunning || this.#stored - this.#flush.durable < FLUSH_BYTES) return
    // Its failure is kept by the flush, and ends the write at the next batch.
    this.#flush.run().catch(() => undefined)
  }

  async #write(fd: number, buffers: readonly Buffer[]): Promise<number> {
    try {
      const calls = sizeOf(buffers) <= SMALL_BYTES ? this.#files.smallCalls : this.#files.calls
      const written = await calls.writev(fd, buffers, this.#position + this.#stored)
      if (written === 0) throw new UploadError('storage_failed', 'The storage took no more bytes.')
      this.#stored += written
      this.#intake.release(written)
      return written
    } catch (error) {
      throw storageError(error)
    }
  }

  /** Makes durable what was stored, and closes the file. Resolves with what went wrong. */
  async #settle(fd: number): Promise<Error | null> {
    let failure: Error | null = null
    try {
      await this.#flush.run()
    } catch (error) {
      failure = asError(error)
    }
    try {
      await this.#calls.close(fd)
    } catch (error) {
      // Network file systems report here what they could not write.
      failure ??= storageError(error)
    }
    return failure
  }

  async #sync(): Promise<void> {
    if (this.#file === null) return
    const { fd, named } = this.#file
    await Promise.all([this.#calls.fdatasync(fd), named])
  }
}

function after(buffers: readonly Buffer[], written: number): readonly Buffer[] {
  let skipped = 0
  for (const [index, buffer] of buffers.entries()) {
    if (skipped + buffer.length > written) {
      return [buffer.subarray(written - skipped), ...buffers.slice(index + 1)]
    }
    skipped += buffer.length
  }
  return []
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
