import { constants } from 'node:fs'
import type { Blob } from '../../src/upload/blob.js'
import { Directories } from './directories.js'
import type { FileCalls } from './file-calls.js'
import type { PromptCalls } from './prompt-calls.js'
import { type BlobPath, blobPath } from './safe-path.js'
import { blobError, hasCode, storageError } from './storage-error.js'

/** How often a directory may vanish between its making and its use before that is an error. */
const ATTEMPTS = 5

export interface OpenFile {
  readonly fd: number
  /** Settles when the file's name is durable. */
  readonly named: Promise<void>
}

/** Opens the files of blobs, and makes them with the directories they need. */
export class BlobFiles {
  readonly directory: string
  readonly calls: FileCalls
  readonly directories: Directories
  readonly #prompt: PromptCalls | null

  constructor(directory: string, calls: FileCalls, syncs: boolean, prompt: PromptCalls | null = null) {
    this.directory = directory
    this.calls = calls
    this.#prompt = prompt
    this.directories = new Directories(calls, syncs)
  }

  /** The calls for a small write at this moment. */
  get smallCalls(): FileCalls {
    return this.#prompt?.calls ?? this.calls
  }

  path(blob: Blob): BlobPath {
    return blobPath(this.directory, blob)
  }

  async openForReading(blob: Blob): Promise<number> {
    return this.#open(this.calls, this.path(blob), constants.O_RDONLY)
  }

  /** Opens a blob for writing: `fresh` makes its file if need be, otherwise the file must be there. */
  async openForWriting(blob: Blob, fresh: boolean, calls = this.calls): Promise<OpenFile> {
    const path = this.path(blob)
    if (!fresh) return { fd: await this.#open(calls, path, constants.O_WRONLY), named: Promise.resolve() }
    const fd = await this.#make(calls, path)
    const named = this.directories.sync(path.fanOut).catch((error) => {
      throw storageError(error)
    })
    // Whoever writes waits for it in the end; until then a failure is not an unhandled one.
    named.catch(() => undefined)
    return { fd, named }
  }

  /** Makes the name of a blob's file durable, whatever the durability of the store. */
  async syncName(blob: Blob): Promise<void> {
    const path = this.path(blob)
    try {
      for (const parent of [path.fanOut, path.epoch, this.directory])
        await this.directories.syncAlways(parent)
    } catch (error) {
      throw storageError(error)
    }
  }

  async #open(calls: FileCalls, path: BlobPath, flags: number): Promise<number> {
    try {
      return await calls.open(path.file, flags)
    } catch (error) {
      throw blobError(error)
    }
  }

  /**
   * Not exclusively: nothing of a fresh blob is recorded, yet a write whose bytes did not count, or one that runs
   * beside this one, may have made the file. That the ranges of writers never overlap is the registry's care.
   */
  async #make(calls: FileCalls, path: BlobPath): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.directories.make(path.epoch)
        await this.directories.make(path.fanOut)
        return await calls.open(path.file, constants.O_WRONLY | constants.O_CREAT)
      } catch (error) {
        // A sweep may remove an empty directory at any moment; then it is made again.
        if (!hasCode(error, 'ENOENT') || attempt === ATTEMPTS) throw storageError(error)
        this.directories.forget(path.epoch)
      }
    }
  }
}
