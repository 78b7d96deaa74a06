import { constants } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve, sep } from 'node:path'
import type { FileCalls } from './file-calls.js'
import { hasCode } from './storage-error.js'

/**
 * Directories that are known to be there, and, when syncing is on, to outlive a power cut. A call for a directory
 * that another call is still making waits for that one, its sync included.
 */
export class Directories {
  readonly #calls: FileCalls
  readonly #syncs: boolean
  readonly #known = new Map<string, Promise<void>>()

  constructor(calls: FileCalls, syncs: boolean) {
    this.#calls = calls
    this.#syncs = syncs
  }

  /** Makes `path` inside its parent, which must be there. */
  async make(path: string): Promise<void> {
    let made = this.#known.get(path)
    if (made === undefined) {
      made = this.#make(path)
      this.#known.set(path, made)
    }
    try {
      await made
    } catch (error) {
      if (this.#known.get(path) === made) this.#known.delete(path)
      throw error
    }
  }

  /** Makes `path` and whatever of its parents is missing. */
  async makeAll(path: string): Promise<void> {
    const missing: string[] = []
    // Level by level: Node's `recursive` never returns where a file system refuses directories as not found (/proc).
    for (let at = resolve(path); !(await isDirectory(at)); at = dirname(at)) missing.unshift(at)
    for (const directory of missing) await this.#make(directory)
  }

  /** Whether this process makes files in `path`, and counts on its being there. */
  isKnown(path: string): boolean {
    return this.#known.has(path)
  }

  /** Forgets `path` and everything below: somebody removed it, or is about to. */
  forget(path: string): void {
    for (const known of this.#known.keys()) {
      if (known === path || known.startsWith(path + sep)) this.#known.delete(known)
    }
  }

  /** Makes durable which names `path` holds, unless syncing is off. */
  async sync(path: string): Promise<void> {
    if (this.#syncs) await this.syncAlways(path)
  }

  async syncAlways(path: string): Promise<void> {
    // Windows opens no directories for this, and journals their entries itself.
    if (process.platform === 'win32') return
    const fd = await this.#calls.open(path, constants.O_RDONLY)
    try {
      await this.#calls.fsync(fd)
    } finally {
      await this.#calls.close(fd)
    }
  }

  async #make(path: string): Promise<void> {
    try {
      await mkdir(path)
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error
    }
    // Also when it was there already: whoever made it may not have synced it yet.
    await this.sync(dirname(path))
  }
}

/** False when nothing is there. Throws ENOTDIR for something else than a directory. */
async function isDirectory(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
  throw Object.assign(new Error('a file is in the way of a directory'), { code: 'ENOTDIR' })
}
