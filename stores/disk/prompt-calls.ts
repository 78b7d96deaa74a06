import fs from 'node:fs'
import { statfs } from 'node:fs/promises'
import type { FileCalls } from './file-calls.js'

/**
 * File systems on disks, or in the memory, of this machine, by the number that Linux gives them (statfs(2), `f_type`):
 * ext2 to ext4, XFS, Btrfs, ZFS, F2FS, tmpfs, overlayfs. On others, of a network say, a call may hang for good.
 */
const LOCAL: ReadonlySet<number> = new Set([
  0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1, 0xf2f5_2010, 0x0102_1994, 0x794c_7630,
])

/**
 * A call that took longer than this, in ms, waited for something; on a busy machine perhaps only for the processor, so
 * that of shorter ones the mean counts, of about the last 16: in memory a call takes 0.02 ms.
 */
const SLOW_MS = 50
const SLOW_MEAN_MS = 1

/**
 * For so long after that no other is tried, in ms: at most one long wait a second may hold everything up, and ever fewer while the file
 * system stays slow.
 */
const REST_MS = 1_000
const MOST_REST_MS = 60_000

/** A write of this many bytes is small. */
export const SMALL_BYTES = 64 * 1024

/**
 * Calls for small writes, without a thread in between. Making, writing and closing a file of 4 KiB takes 50 µs in all; to
 * wake a thread and be woken by it for each of the three takes 130 µs, and each time another has the processor. Nothing
 * is synced this way. As soon as the file system is seen to be slow, threads do the work again.
 */
export class PromptCalls {
  readonly #prompt: FileCalls
  readonly #threaded: FileCalls
  #trusted = false
  #slowUntil = Number.NEGATIVE_INFINITY
  #rest = 0
  #mean = 0

  /** `guard` is put around the calls, as it was around `threaded`. */
  constructor(threaded: FileCalls, guard: (calls: FileCalls) => FileCalls) {
    this.#threaded = threaded
    this.#prompt = guard(this.#calls(threaded))
  }

  /** Looks whether the file system of `directory` may be called like this. */
  async look(directory: string): Promise<void> {
    this.#trusted = LOCAL.has((await statfs(directory)).type)
  }

  /** The calls to be used for a small write at this moment. */
  get calls(): FileCalls {
    return this.#trusted && performance.now() >= this.#slowUntil ? this.#prompt : this.#threaded
  }

  #calls(threaded: FileCalls): FileCalls {
    return {
      ...threaded,
      open: async (path, flags) => this.#timed(() => fs.openSync(path, flags)),
      writev: async (fd, buffers, position) => this.#timed(() => fs.writevSync(fd, buffers, position)),
      close: async (fd) => this.#timed(() => fs.closeSync(fd)),
    }
  }

  #timed<T>(call: () => T): T {
    const began = performance.now()
    try {
      return call()
    } finally {
      this.#took(performance.now() - began)
    }
  }

  #took(milliseconds: number): void {
    this.#mean += (milliseconds - this.#mean) / 16
    if (milliseconds <= SLOW_MS && this.#mean <= SLOW_MEAN_MS) return
    this.#mean = 0
    const now = performance.now()
    // Of a call that was begun before: it is one stall.
    if (now < this.#slowUntil) return
    const again = now - this.#slowUntil < this.#rest
    this.#rest = again ? Math.min(2 * this.#rest, MOST_REST_MS) : REST_MS
    this.#slowUntil = now + this.#rest
  }
}
