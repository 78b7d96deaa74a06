import { readdir, rm, stat, truncate } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'

/**
 * What of a directory of blobs outlives a power cut: of each file as many bytes as were there at its last sync, and
 * no file whose name, or that of a directory above it, was not synced. Everything that is there at the beginning is.
 */
export class Power {
  readonly #directory: string
  readonly #names = new Set<string>()
  readonly #sizes = new Map<string, number>()

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async on(directory: string): Promise<Power> {
    const power = new Power(directory)
    for (const path of await power.#files()) {
      for (const name of power.#namesOf(path)) power.#names.add(name)
      power.#sizes.set(path, (await stat(path)).size)
    }
    return power
  }

  /** A file was synced. */
  async syncedFile(path: string): Promise<void> {
    this.#sizes.set(path, (await stat(path)).size)
  }

  /** A directory was synced: the names in it outlive a power cut. */
  async syncedDirectory(path: string): Promise<void> {
    for (const name of await readdir(path)) this.#names.add(join(path, name))
  }

  async cut(): Promise<void> {
    for (const path of await this.#files()) {
      if (this.#namesOf(path).every((name) => this.#names.has(name))) {
        await truncate(path, Math.min((await stat(path)).size, this.#sizes.get(path) ?? 0))
      } else {
        await rm(path)
      }
    }
  }

  async #files(): Promise<readonly string[]> {
    const entries = await readdir(this.#directory, { recursive: true, withFileTypes: true })
    return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  }

  /** The paths that have to be durable for a file to be found again: its directories' and its own. */
  #namesOf(path: string): readonly string[] {
    const steps = relative(this.#directory, path).split(sep)
    return steps.map((_, index) => join(this.#directory, ...steps.slice(0, index + 1)))
  }
}
