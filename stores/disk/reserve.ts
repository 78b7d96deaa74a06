import { statfs } from 'node:fs/promises'
import { sizeOf } from '../source/size-of.js'
import type { FileCalls } from './file-calls.js'
import { noRoom, storageError } from './storage-error.js'

/** How far a figure carries: so many bytes written, or so many ms, and the file system is asked again. */
export const LOOK_BYTES = 16 * 1024 * 1024
const LOOK_MS = 1000

/** What the file system of a directory has left for such as us; Infinity where it does not know. */
export async function freeBytes(directory: string): Promise<number> {
  const { blocks, bavail, bsize } = await statfs(directory)
  return blocks === 0 ? Number.POSITIVE_INFINITY : bavail * bsize
}

/**
 * Free space that writes leave alone. Other programs, and other stores on the same disk, are heard of only when the
 * file system is asked, so the reserve is kept to within what they write in a second.
 */
export class Reserve {
  readonly #bytes: number
  readonly #ask: () => Promise<number>
  /** What may be written before the reserve is touched: by the last look, less what was granted since. */
  #room = 0
  #grantedSince = 0
  #lookedAt = Number.NEGATIVE_INFINITY
  /** Granted, and perhaps not yet in the figure of the file system. */
  #underWay = 0
  #looking: Promise<void> | null = null

  constructor(bytes: number, ask: () => Promise<number>) {
    this.#bytes = bytes
    this.#ask = ask
  }

  /** The calls with writes that end where the reserve begins, as they would on a disk smaller by so much. */
  guard(calls: FileCalls): FileCalls {
    if (this.#bytes === 0) return calls
    return {
      open: (path, flags) => calls.open(path, flags),
      writev: (fd, buffers, position) =>
        this.#within(sizeOf(buffers), (most) => calls.writev(fd, upTo(most, buffers), position)),
      read: (fd, buffer, position) => calls.read(fd, buffer, position),
      fdatasync: (fd) => calls.fdatasync(fd),
      fsync: (fd) => calls.fsync(fd),
      close: (fd) => calls.close(fd),
    }
  }

  /** Rejects with `storage_full` while nothing can be written. Asks the file system each time. */
  async check(): Promise<void> {
    await this.look()
    if (this.#room <= 0) throw noRoom(this.#bytes)
  }

  /** Asks the file system; who asks meanwhile shares the answer. */
  async look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null
    })
    await this.#looking
  }

  async #within(wanted: number, write: (most: number) => Promise<number>): Promise<number> {
    // The figure is trusted only as long as it says yes: room that somebody made is found at once.
    if (this.#looking !== null || !this.#carries(wanted)) await this.look()
    const granted = Math.min(wanted, this.#room)
    if (granted <= 0) throw noRoom(this.#bytes)
    this.#room -= granted
    this.#grantedSince += granted
    this.#underWay += granted
    try {
      return await write(granted)
    } finally {
      this.#underWay -= granted
    }
  }

  #carries(wanted: number): boolean {
    return (
      wanted <= this.#room &&
      this.#grantedSince + wanted <= LOOK_BYTES &&
      performance.now() - this.#lookedAt < LOOK_MS
    )
  }

  async #look(): Promise<void> {
    // Some of it the answer may know already; counted twice for a moment it errs to the safe side.
    const underWay = this.#underWay
    try {
      this.#room = (await this.#ask()) - this.#bytes - underWay
    } catch (error) {
      throw storageError(error)
    }
    this.#grantedSince = 0
    this.#lookedAt = performance.now()
  }
}

/** The first `most` bytes. */
function upTo(most: number, buffers: readonly Buffer[]): readonly Buffer[] {
  const first: Buffer[] = []
  let left = most
  for (const buffer of buffers) {
    if (left <= 0) break
    first.push(buffer.length <= left ? buffer : buffer.subarray(0, left))
    left -= buffer.length
  }
  return first
}
