import { isGone, notFound, UploadError } from './errors.js'
import { type BlobRange, extentsWithin } from './extents-within.js'
import { fileSlices } from './file-slices.js'
import type { FileRange, FilesHashed, FilesWanted } from './hash-threads.js'
import { patiently } from './patience.js'
import type { ByteStore, LocalFiles, Prefix, UploadRegistry } from './ports.js'
import { readBlocks } from './read-blocks.js'
import type { Readers } from './readers.js'
import type { UploadId } from './upload.js'

/** Extents may change under a reader that often without a byte of progress before it gives up. */
const MOVES = 10

export interface PrefixReaderParts {
  readonly registry: Pick<UploadRegistry, 'prefix'>
  /** Of a kind that can be read where others still write. */
  readonly bytes: Pick<ByteStore, 'read'> & Partial<LocalFiles>
  readonly readers: Readers
}

/** For whom it reads. */
export interface PrefixTaker extends FilesWanted {
  /** Takes the next bytes, and the memory they are in. */
  take(block: Buffer): Promise<void>
  /** Takes the next bytes from files by itself. */
  takeFrom(files: readonly FileRange[]): Promise<FilesHashed>
  /** What was read so far is no longer the beginning of the content. */
  changed(): void
}

/** Reads the gapless beginning of one upload, from its first byte, as far as it has come at each `advance`. */
export class PrefixReader {
  readonly #parts: PrefixReaderParts
  readonly #upload: { readonly id: UploadId; readonly length: number }
  readonly #taker: PrefixTaker
  /** Bytes taken so far. */
  #at = 0

  constructor(
    parts: PrefixReaderParts,
    upload: { readonly id: UploadId; readonly length: number },
    taker: PrefixTaker,
  ) {
    this.#parts = parts
    this.#upload = upload
    this.#taker = taker
  }

  get isThrough(): boolean {
    return this.#at === this.#upload.length
  }

  /** To the end of the prefix. Where its blobs go away meanwhile, it goes on at the same byte wherever that is now. */
  async advance(): Promise<void> {
    const prefix = await this.#prefix()
    const stop = Math.min(prefix.stop, this.#upload.length)
    // Received bytes become fewer only when a chunk is replaced by a shorter one.
    if (stop < this.#at) this.#taker.changed()
    let { extents } = prefix
    let moves = 0
    while (this.#isShortOf(stop)) {
      const before = this.#at
      try {
        await this.#pass(extentsWithin(extents, this.#at, stop))
        if (this.#isShortOf(stop)) throw endedEarly()
      } catch (error) {
        if (this.#at > before) moves = 0
        if (!isGone(error) || ++moves > MOVES) throw error
        const again = await this.#prefix()
        if (again.stop < stop) this.#taker.changed()
        extents = again.extents
      }
    }
  }

  #isShortOf(stop: number): boolean {
    return this.#at < stop && !this.#taker.isInterrupted()
  }

  #pass(ranges: readonly BlobRange[]): Promise<void> {
    const { bytes } = this.#parts
    return isLocal(bytes) ? this.#passFiles(bytes, ranges) : this.#passBlocks(ranges)
  }

  /** Each block through this thread costs several turns of its event loop, which are long while it is busy. */
  async #passFiles(files: LocalFiles, ranges: readonly BlobRange[]): Promise<void> {
    for (const slice of fileSlices(files, ranges)) {
      if (this.#taker.isInterrupted()) return
      const { hashed, ended, cause } = await this.#taker.takeFrom(slice)
      this.#at += hashed
      if (ended === 'gone') throw new UploadError('blob_gone', 'The bytes are no longer there.', { cause })
      if (ended === 'short') throw tooShort()
      if (ended === 'failed') throw unreadable(cause)
    }
  }

  async #passBlocks(ranges: readonly BlobRange[]): Promise<void> {
    const blocks = readBlocks(this.#parts.bytes, ranges)
    try {
      while (!this.#taker.isInterrupted()) {
        const { value: block } = await this.#parts.readers.read(
          () => this.#taker.isAwaited(),
          () => blocks.next(),
        )
        if (block === undefined) return
        const { length } = block
        await this.#taker.take(block)
        this.#at += length
      }
    } finally {
      await blocks.return(undefined)
    }
  }

  async #prefix(): Promise<Prefix> {
    const prefix = await patiently(() => this.#parts.registry.prefix(this.#upload.id))
    if (prefix === null) throw notFound()
    return prefix
  }
}

function isLocal(bytes: Partial<LocalFiles>): bytes is LocalFiles {
  return bytes.pathOf !== undefined
}

function tooShort(): UploadError {
  return new UploadError('storage_failed', 'The storage holds fewer bytes than were recorded.')
}

function unreadable(cause: unknown): UploadError {
  return new UploadError('storage_failed', 'The storage failed to do its work.', { cause })
}

function endedEarly(): UploadError {
  return new UploadError('storage_failed', 'The content ended too early.')
}
