import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Blob, Extent } from '../../src/upload/blob.js'
import type {
  AssembleOptions,
  BlobWrite,
  ByteStore,
  LocalFiles,
  WriteOptions,
} from '../../src/upload/ports.js'
import { checkPosition, checkRange } from '../source/positions.js'
import { assemble } from './assemble.js'
import { BlobFiles } from './blob-files.js'
import { BlobRead } from './blob-read.js'
import { DiskBlobWrite } from './blob-write.js'
import { type FileCalls, fileCalls } from './file-calls.js'
import type { Held } from './intake.js'
import { isLost } from './is-lost.js'
import { PromptCalls } from './prompt-calls.js'
import { remove } from './remove.js'
import { freeBytes, Reserve } from './reserve.js'
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
  /**
   * Bytes of free space that writes leave to others, such as a database on the same disk: nothing can be deleted any
   * more once that has no room. Below it the store is full. Default 0.
   */
  readonly reserve?: number
  /** How many bytes are free. Default: what the operating system says of `directory`; tests pass figures. */
  readonly freeBytes?: () => Promise<number>
  /** The calls on open files. Default: those of the operating system; tests pass calls that fail. */
  readonly fs?: FileCalls
}

const ASSEMBLE_BLOCK_BYTES = 8 * 1024 * 1024

/** Blobs as files: `<directory>/<epoch>/<first two hex digits of the id>/<id>`. */
export class DiskByteStore implements ByteStore, Partial<LocalFiles> {
  /** Not with calls passed in: whoever opened the path would read past them. */
  readonly pathOf?: LocalFiles['pathOf']
  readonly #directory: string
  readonly #files: BlobFiles
  readonly #reserve: Reserve
  readonly #prompt: PromptCalls | null
  readonly #strict: boolean
  readonly #assembleBlockBytes: number
  readonly #held: Held = { bytes: 0 }

  constructor(options: DiskByteStoreOptions) {
    this.#directory = options.directory
    this.#strict = options.durability === 'strict'
    const ask = options.freeBytes ?? (() => freeBytes(options.directory))
    this.#reserve = new Reserve(options.reserve ?? 0, ask)
    const calls = this.#reserve.guard(options.fs ?? fileCalls)
    // Not with calls passed in: these would go past them.
    this.#prompt = options.fs ? null : new PromptCalls(calls, (own) => this.#reserve.guard(own))
    this.#files = new BlobFiles(options.directory, calls, this.#strict, this.#prompt)
    this.#assembleBlockBytes = options.assembleBlockBytes ?? ASSEMBLE_BLOCK_BYTES
    if (options.fs === undefined) this.pathOf = (blob) => this.#files.path(blob).file
  }

  /**
   * Makes the directory, and proves that files can be made and removed in it. A full one is opened all the same:
   * uploads can be read and, above all, deleted.
   */
  async open(): Promise<void> {
    try {
      await this.#files.directories.makeAll(this.#directory)
      await this.#probe()
      await this.#prompt?.look(this.#directory)
    } catch (error) {
      throw storageError(error)
    }
    await this.#reserve.look()
  }

  async #probe(): Promise<void> {
    const probe = join(this.#directory, `.probe-${randomUUID()}`)
    try {
      await writeFile(probe, 'This file proves that the directory can be written to; it may be deleted.\n')
    } catch (error) {
      if (storageError(error).code !== 'storage_full') throw error
    }
    await rm(probe, { force: true })
  }

  write(blob: Blob, position: number, source: Readable, options: WriteOptions): BlobWrite {
    checkPosition(position)
    return new DiskBlobWrite(this.#files, { blob, position }, source, options, this.#held, this.#strict)
  }

  read(blob: Blob, start: number, stop: number): Readable {
    checkRange(start, stop)
    return new BlobRead(this.#files, blob, start, stop)
  }

  async remove(blob: Blob): Promise<void> {
    await remove(this.#files, blob)
  }

  async isLost(blob: Blob): Promise<boolean> {
    return isLost(this.#files, blob)
  }

  async assemble(
    target: Blob,
    extents: readonly Extent[],
    options: AssembleOptions,
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
    await this.#reserve.check()
  }
}
