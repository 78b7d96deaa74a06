import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { DataStore } from '@tus/utils'
import type { Blob, Extent } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import type {
  AppendOnly,
  AssembleOptions,
  BlobWrite,
  ByteStore,
  WriteOptions,
} from '../../src/upload/ports.js'
import { checkPosition, checkRange } from '../source/positions.js'
import { assemble } from './assemble.js'
import { type BlobSource, isReadable, type ReadableDataStore, readBlob } from './blob-read.js'
import { BlobUploads } from './blob-uploads.js'
import { TusBlobWrite } from './blob-write.js'
import { isPlainFile } from './plain-file.js'
import { Sealing } from './sealing.js'

export type { ReadableDataStore } from './blob-read.js'

export interface TusByteStoreOptions {
  /**
   * `strict` (default): of a store of plain files (FileStore), bytes are synced before they count, as FileStore itself
   * does not. `relaxed`: they outlive the death of the process, but not that of the machine. Other stores are as
   * durable as their service, and this changes nothing.
   */
  readonly durability?: 'strict' | 'relaxed'
}

/**
 * Bytes in any store made for @tus/server: FileStore, S3Store and so on. A blob is an upload of that store, with the
 * blob's id and `metadata.tributary`. It only appends: several writers at different places of one blob, as frago's
 * chunks need, are not promised.
 *
 * - A store is given what a request brings in portions, as none tells of a write before it has ended: a killed server
 *   loses up to a second of it (plain files) or 16 MiB (others). Ranges of other than plain files are read by
 *   skipping what lies before them.
 * - S3Store and its like give nothing back before an upload's length is known. Such a blob is closed when it is first
 *   read, and takes no more bytes then; this concerns checksums in trailers, as those read what came back.
 * - Where a request ended with bytes that do not count (a checksum that did not fit), the upload goes on in another blob.
 * - FileStore keeps the reason of a failure to itself: a full disk is `storage_failed` there, not `storage_full`.
 * - Files that a killed process left without a row are not found again; there is no way to list them.
 *
 * The wrapped store must not expire uploads by itself (`expirationPeriodInMilliseconds`), because it takes every blob
 * for an unfinished upload.
 */
export class TusByteStore implements ByteStore, AppendOnly {
  readonly #source: BlobSource

  /** Throws a TypeError for a store that cannot be read from, or that deletes by itself. */
  constructor(store: DataStore, options: TusByteStoreOptions = {}) {
    checkStore(store)
    const uploads = new BlobUploads(store, options.durability ?? 'strict')
    this.#source = { uploads, store, sealing: new Sealing(store) }
  }

  write(blob: Blob, position: number, source: Readable, options: WriteOptions): BlobWrite {
    checkPosition(position)
    return new TusBlobWrite(this.#source.uploads, { blob, position }, source, options)
  }

  read(blob: Blob, start: number, stop: number): Readable {
    checkRange(start, stop)
    return readBlob(this.#source, blob, start, stop)
  }

  async remove(blob: Blob): Promise<void> {
    await this.#source.uploads.remove(blob)
  }

  /** Known of FileStore alone, as it is made usually, with what it knows of an upload beside its file. */
  async isLost(blob: Blob): Promise<boolean> {
    return this.#source.uploads.isLost(blob)
  }

  async assemble(
    target: Blob,
    extents: readonly Extent[],
    options: AssembleOptions,
  ): Promise<'done' | 'stopped'> {
    return assemble(this.#source, target, extents, options)
  }

  /** False where bytes lie beyond that do not count and cannot be written over, or where the store was read from. */
  async canAppend(blob: Blob, position: number): Promise<boolean> {
    const found = await this.#source.uploads.find(blob)
    if (found === null || isPlainFile(found)) return true
    return found.offset <= position && found.size === undefined
  }

  /** Always 0: a `DataStore` has no way to list its uploads. */
  async sweepEpoch(): Promise<number> {
    return 0
  }

  /** Asks the store about an upload that cannot be there. */
  async check(): Promise<void> {
    const stray = await this.#source.uploads.find({ id: randomUUID(), epoch: 0 })
    if (stray !== null)
      throw new UploadError('storage_failed', 'The storage answers for uploads it cannot have.')
  }
}

function checkStore(store: DataStore): asserts store is ReadableDataStore {
  if (!isReadable(store)) {
    throw new TypeError(`${store.constructor.name} has no read(); bytes put there could not be got back.`)
  }
  if (store.getExpiration() > 0) {
    throw new TypeError(
      `${store.constructor.name} has an expiration of its own and would delete bytes of finished uploads; ` +
        'make it without, and give the expiration to Tributary.',
    )
  }
}
