import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Blob, Extent } from '../../src/upload/blob.js'
import type { BlobWrite, ByteStore, WriteOptions } from '../../src/upload/ports.js'
import { assemble } from './assemble.js'
import { BlobFiles } from './blob-files.js'
import { BlobRead } from './blob-read.js'
import { DiskBlobWrite } from './blob-write.js'
import { type FileCalls, fileCalls } from './file-calls.js'
import type { Held } from './intake.js'
import { remove } from './remove.js'
import { storageError } from './storage-error.js'
import { sweepEpoch } from './sweep-epoch.js'

export interface DiskByteStoreOptions {
  /** Where the blobs lie; made by `open` when it is not there. Several processes of one host may share it. */
  readonly directory: string
  /**
   * `strict`: what is reported as durable outlives a power cut, names of files and directories included. `relaxed`:
   * it outlives the death of the process, but not that of the machine.
   */
  readonly durability: 'strict' | 'relaxed'
  /** Bytes per block when blobs are copied into one; two blocks are held in memory. Default 8 MiB. */
  readonly assembleBlockBytes?: number
  /** The calls on open files. Default: those of the operating system; tests pass calls that fail. */
  readonly fs?: FileCalls
}

const ASSEMBLE_BLOCK_BYTES = 8 * 1024 * 1024

/** Blobs as files: `<directory>/<epoch>/<first two hex digits of the id>/<id>`. */
export class DiskByteStore implements ByteStore {
  readonly #directory: string
  readonly #files: BlobFiles
  readonly #strict: boolean
  readonly #assembleBlockBytes: number
  readonly #held: Held = { bytes: 0 }

  constructor(options: DiskByteStoreOptions) {
    this.#directory = options.directory
    this.#strict = options.durability === 'strict'
    this.#files = new BlobFiles(options.directory, options.fs ?? fileCalls, this.#strict)
    this.#assembleBlockBytes = options.assembleBlockBytes ?? ASSEMBLE_BLOCK_BYTES
  }

  /** Makes the directory, and proves that files can be made and removed in it. */
  async open(): Promise<void> {
    const probe = join(this.#directory, `.probe-${randomUUID()}`)
    try {
      await this.#files.directories.makeAll(this.#directory)
      await writeFile(probe, 'This file proves that the directory can be written to; it may be deleted.\n')
      await unlink(probe)
    } catch (error) {
      throw storageError(error)
    }
  }

  write(blob: Blob, position: number, source: Readable, options: WriteOptions): BlobWrite {
    checkPosition(position)
    return new DiskBlobWrite(this.#files, { blob, position }, source, options, this.#held, this.#strict)
  }

  read(blob: Blob, start: number, stop: number): Readable {
    checkPosition(start)
    checkPosition(stop)
    if (start > stop) throw new RangeError(`Cannot read from ${start} to ${stop}.`)
    return new BlobRead(this.#files, blob, start, stop)
  }

  async remove(blob: Blob): Promise<void> {
    await remove(this.#files, blob)
  }

  async assemble(
    target: Blob,
    extents: readonly Extent[],
    options: Parameters<ByteStore['assemble']>[2],
  ): Promise<'done' | 'stopped'> {
    return assemble(this.#files, target, extents, { ...options, blockBytes: this.#assembleBlockBytes })
  }

  async sweepEpoch(
    epoch: number,
    known: (ids: readonly string[]) => Promise<ReadonlySet<string>>,
  ): Promise<number> {
    return sweepEpoch(this.#files, epoch, known)
  }

  async check(): Promise<void> {
    try {
      await access(this.#directory, constants.W_OK | constants.X_OK)
    } catch (error) {
      throw storageError(error)
    }
  }
}

/** The operating system takes a negative position for "wherever the file stands", and would write there. */
function checkPosition(position: number): void {
  if (!Number.isSafeInteger(position) || position < 0) {
    throw new RangeError(`A position in a blob cannot be ${position}.`)
  }
}
