import { type BigIntStats, constants } from 'node:fs'
import { join } from 'node:path'
import type { Extent } from '../../src/upload/blob.js'
import { isReservedName } from '../../src/upload/filename.js'
import type { Placed, Publication, ReadyFile } from '../../src/upload/ports.js'
import type { UploadId } from '../../src/upload/upload.js'
import { BlobFiles } from './blob-files.js'
import { resume } from './displace.js'
import { type FileCalls, fileCalls } from './file-calls.js'
import { identityOf } from './file-identity.js'
import { isUnlinkable, type NameCalls, nameCalls } from './name-calls.js'
import { placeFile } from './place-file.js'
import { dropParts, prepareFile } from './prepare-file.js'
import { PublishedDirectory } from './published-directory.js'
import { clearLeftovers } from './published-leftovers.js'
import { type PrivateNames, privateNames, probeName } from './published-name.js'
import { freeBytes, Reserve } from './reserve.js'
import { hasCode, storageError } from './storage-error.js'
import { takeAway } from './take-away.js'

export interface DirectoryPublisherOptions {
  /** Where finished files appear, for people and other programs; made by `open`. Several processes may share it. */
  readonly directory: string
  /** The directory of the byte store whose blobs are published. */
  readonly blobs: string
  /** As of the byte store. A copy is synced in both, since the blobs it was made of may be removed afterwards. */
  readonly durability: 'strict' | 'relaxed'
  /** Bytes per block when a file has to be copied; two blocks are held in memory. Default 8 MiB. */
  readonly copyBlockBytes?: number
  /** Bytes of free space that copies leave to others on the disk of `directory`. Default 0. */
  readonly reserve?: number
  /** The calls on open files. Default: those of the operating system; tests pass calls that fail. */
  readonly fs?: FileCalls
  /** The calls on names, likewise. */
  readonly names?: NameCalls
  /** The date in the names of displaced files, in UTC. Default: by the clock of this machine. */
  readonly now?: () => Date
}

const COPY_BLOCK_BYTES = 8 * 1024 * 1024

/**
 * Finished files under their filenames in one directory: hard links to the blobs, or copies where there can be none.
 * Others work in that directory too, operators and whoever takes the files away, and at any moment.
 */
export class DirectoryPublisher {
  readonly #options: DirectoryPublisherOptions
  readonly #blobs: BlobFiles
  readonly #names: NameCalls
  readonly #directory: PublishedDirectory
  /** Copies that were placed: a database that did not hear of it has `place` called again with the same file. */
  readonly #placed = new WeakMap<ReadyFile, BigIntStats>()

  constructor(options: DirectoryPublisherOptions) {
    const { directory: path, durability } = options
    this.#options = options
    const reserve = new Reserve(options.reserve ?? 0, () => freeBytes(path))
    this.#blobs = new BlobFiles(
      options.blobs,
      reserve.guard(options.fs ?? fileCalls),
      durability === 'strict',
    )
    this.#names = options.names ?? nameCalls
    this.#directory = new PublishedDirectory({
      path,
      names: this.#names,
      sync: () => this.#blobs.directories.sync(path),
      now: options.now ?? (() => new Date()),
    })
  }

  /**
   * Makes the directory, proves that files can be made in it, and removes what dead attempts left. The directory of
   * the blobs must be there. `copies`: no blob can be linked here, so that every finished file will be copied.
   */
  async open(): Promise<{ readonly copies: boolean }> {
    return coded(async () => {
      await this.#blobs.directories.makeAll(this.#options.directory)
      await clearLeftovers(this.#directory)
      return { copies: !(await this.#probe()) }
    })
  }

  async prepare(uploadId: UploadId, extents: readonly Extent[], length: number): Promise<ReadyFile> {
    const names = privateNames(uploadId)
    return coded(async () => {
      // Whoever takes the finished files away may take their directory, too.
      await this.#blobs.directories.makeAll(this.#options.directory)
      const blockBytes = this.#options.copyBlockBytes ?? COPY_BLOCK_BYTES
      const [directory, blobs] = [this.#directory, this.#blobs]
      return prepareFile({ directory, blobs, names, uploadId, extents, length, blockBytes })
    })
  }

  async place(ready: ReadyFile, filename: string, holder: Publication | null): Promise<Placed> {
    this.#checkName(filename)
    const [directory, calls, placed] = [this.#directory, this.#blobs.calls, this.#placed.get(ready) ?? null]
    return coded(async () => {
      const { file, ...result } = await placeFile({ directory, calls, ready, filename, holder, placed })
      if (ready.copy) this.#placed.set(ready, file)
      return result
    })
  }

  async remove(publication: Publication): Promise<void> {
    const names = privateNames(publication.uploadId)
    const { filename, name, identity } = publication
    this.#checkName(filename)
    if (name !== null) this.#checkName(name)
    await coded(async () => {
      // What an interrupted `place` was displacing is no part of this upload, and gets its name back.
      await resume(this.#directory, filename, names)
      const copy = await this.#directory.look(names.copy)
      const known = identity ?? (copy && identityOf(copy))
      if (known !== null) await this.#takeAway(publication, known, names)
      if (identity === null) await dropParts(this.#directory, publication.uploadId)
      await this.#directory.drop(names.copy)
      await this.#syncRemoval()
    })
  }

  async #takeAway({ filename, name }: Publication, identity: string, names: PrivateNames): Promise<void> {
    const directory = this.#directory
    const fits = (file: BigIntStats) => identityOf(file) === identity
    for (const candidate of new Set([name ?? filename, filename])) {
      if (await takeAway(directory, candidate, names.taken, fits)) return
    }
    // A crash may have come between its displacement by a newer file and the row that says so.
    const displaced = await directory.findDisplaced(filename, fits)
    if (displaced !== null) await takeAway(directory, displaced, names.taken, fits)
  }

  /** Also where there was nothing to remove: an attempt that died may have done so, and not synced. */
  async #syncRemoval(): Promise<void> {
    try {
      await this.#directory.sync()
    } catch (error) {
      // An absent directory holds no name that could come back.
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }

  /** Whether a file that is made here can be linked to where the blobs are. Throws when none can be made. */
  async #probe(): Promise<boolean> {
    const name = probeName()
    const path = this.#directory.path(name)
    const { calls, directory: blobs } = this.#blobs
    try {
      await calls.close(await calls.open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL))
      return await this.#tryLink(path, join(blobs, name))
    } catch (error) {
      // A full disk is opened all the same: files can be read there, and above all deleted.
      if (storageError(error).code === 'storage_full') return true
      throw error
    } finally {
      await this.#directory.drop(name)
    }
  }

  async #tryLink(from: string, to: string): Promise<boolean> {
    try {
      await this.#names.link(from, to)
    } catch (error) {
      if (isUnlinkable(error)) return false
      throw error
    }
    await this.#names.unlink(to)
    return true
  }

  /** Clients were refused such a name long ago; this is for whoever else calls (law 8). */
  #checkName(name: string): void {
    this.#directory.path(name)
    if (isReservedName(name)) throw new RangeError('The name of a published file must not be one of ours.')
  }
}

async function coded<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    throw error instanceof RangeError ? error : storageError(error)
  }
}
