import type { BigIntStats } from 'node:fs'
import { isUnlinkable, type NameCalls } from './name-calls.js'
import { displacedNames, isDisplacedName } from './published-name.js'
import { namePath } from './safe-path.js'
import { hasCode } from './storage-error.js'

/** How many names are looked at side by side. */
const LOOKS = 32

export interface PublishedDirectoryOptions {
  readonly path: string
  readonly names: NameCalls
  /** Makes durable which names the directory holds. */
  readonly sync: () => Promise<void>
  /** Files are displaced at this moment. */
  readonly now: () => Date
}

/**
 * A directory that others work in as well. A name comes about by a link, which never overwrites; whatever was seen of
 * a name a moment ago may be untrue by now.
 */
export class PublishedDirectory {
  readonly #path: string
  readonly #names: NameCalls
  readonly #now: () => Date
  /** Makes durable which names it holds. */
  readonly sync: () => Promise<void>

  constructor({ path, names, sync, now }: PublishedDirectoryOptions) {
    this.#path = path
    this.#names = names
    this.#now = now
    this.sync = sync
  }

  path(name: string): string {
    return namePath(this.#path, name)
  }

  /** What has a name, without following symlinks. Null when nothing has. */
  async look(name: string): Promise<BigIntStats | null> {
    return this.lookAt(this.path(name))
  }

  async lookAt(path: string): Promise<BigIntStats | null> {
    try {
      return await this.#names.lstat(path)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return null
      throw error
    }
  }

  /** Gives the file at `path` the name as well. False when the name is taken. */
  async link(path: string, name: string): Promise<boolean> {
    try {
      await this.#names.link(path, this.path(name))
      return true
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return false
      throw error
    }
  }

  /** The same of a file that may not have another name at all; false then. That the name is taken is as good. */
  async tryLink(path: string, name: string): Promise<boolean> {
    try {
      await this.link(path, name)
      return true
    } catch (error) {
      if (isUnlinkable(error)) return false
      throw error
    }
  }

  /** Gives the file at `path` the first free name that a displaced file of this name may have. */
  async linkDisplaced(path: string, filename: string): Promise<string> {
    const names = displacedNames(filename, this.#now())
    let name = names.next().value
    while (!(await this.link(path, name))) name = names.next().value
    return name
  }

  /**
   * The name of a displaced file of this name. It looks at every file that may be one, and so is for what a crash
   * left, and what others moved.
   */
  async findDisplaced(filename: string, fits: (file: BigIntStats) => boolean): Promise<string | null> {
    const names = (await this.list()).filter((name) => isDisplacedName(filename, name))
    for (let from = 0; from < names.length; from += LOOKS) {
      const batch = names.slice(from, from + LOOKS)
      const files = await Promise.all(batch.map((name) => this.look(name)))
      const found = batch.find((_, index) => {
        const file = files[index]
        return file != null && fits(file)
      })
      if (found !== undefined) return found
    }
    return null
  }

  async list(): Promise<readonly string[]> {
    try {
      return await this.#names.readdir(this.#path)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    }
  }

  /** False when nothing has the name. */
  async rename(from: string, to: string): Promise<boolean> {
    try {
      await this.#names.rename(this.path(from), this.path(to))
      return true
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  /** Takes a private name away: nobody else's file has one. */
  async drop(name: string): Promise<void> {
    try {
      await this.#names.unlink(this.path(name))
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }

  async setMode(path: string, mode: number): Promise<void> {
    await this.#names.chmod(path, mode)
  }
}
