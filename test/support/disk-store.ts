import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { DiskByteStore, type DiskByteStoreOptions } from '../../stores/disk/byte-store.js'
import { type FileCalls, fileCalls } from '../../stores/disk/file-calls.js'

/** A store over a directory of its own, removed after the test. */
export async function openDiskStore(
  options: Partial<DiskByteStoreOptions> = {},
): Promise<{ store: DiskByteStore; directory: string }> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'tributary-blobs-')))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const store = new DiskByteStore({ durability: 'strict', ...options, directory })
  await store.open()
  return { store, directory }
}

export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made by a test`), { code })
}

/** The system's own calls, which also note what was called, and which descriptors are still open. */
export class WatchedCalls implements FileCalls {
  readonly log: (keyof FileCalls)[] = []
  readonly openFiles = new Set<number>()

  async open(path: string, flags: number): Promise<number> {
    this.log.push('open')
    const fd = await fileCalls.open(path, flags)
    this.openFiles.add(fd)
    return fd
  }

  writev(fd: number, buffers: readonly Buffer[], position: number): Promise<number> {
    this.log.push('writev')
    return fileCalls.writev(fd, buffers, position)
  }

  read(fd: number, buffer: Buffer, position: number): Promise<number> {
    this.log.push('read')
    return fileCalls.read(fd, buffer, position)
  }

  fdatasync(fd: number): Promise<void> {
    this.log.push('fdatasync')
    return fileCalls.fdatasync(fd)
  }

  fsync(fd: number): Promise<void> {
    this.log.push('fsync')
    return fileCalls.fsync(fd)
  }

  async close(fd: number): Promise<void> {
    this.log.push('close')
    this.openFiles.delete(fd)
    await fileCalls.close(fd)
  }

  count(call: keyof FileCalls): number {
    return this.log.filter((one) => one === call).length
  }
}

/** A disk with room for so many bytes: what fits of a write is written. */
export class SmallDisk extends WatchedCalls {
  #room: number
  readonly #code: string

  constructor(room: number, code = 'ENOSPC') {
    super()
    this.#room = room
    this.#code = code
  }

  override async writev(fd: number, buffers: readonly Buffer[], position: number): Promise<number> {
    if (this.#room === 0) throw systemError(this.#code)
    const fits = Buffer.concat(buffers).subarray(0, this.#room)
    this.#room -= fits.length
    return super.writev(fd, [fits], position)
  }
}
