import { randomUUID } from 'node:crypto'
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Extent } from '../../src/upload/blob.js'
import { isReservedName } from '../../src/upload/filename.js'
import type { Placed, Publication } from '../../src/upload/ports.js'
import { DirectoryPublisher, type DirectoryPublisherOptions } from '../../stores/disk/directory-publisher.js'
import { type FileCalls, fileCalls } from '../../stores/disk/file-calls.js'
import { type NameCalls, nameCalls } from '../../stores/disk/name-calls.js'
import { blobPath } from '../../stores/disk/safe-path.js'

export interface Content {
  readonly uploadId: string
  readonly extents: readonly Extent[]
  readonly length: number
}

/** A directory of published files, one of blobs, and what a registry would remember. */
export class PublisherStage {
  readonly blobs: string
  readonly directory: string
  readonly #rows = new Map<string, Publication>()
  readonly #queues = new Map<string, Promise<unknown>>()

  private constructor(blobs: string, directory: string) {
    this.blobs = blobs
    this.directory = directory
  }

  /** Directories of its own, removed after the test; the published one may lie elsewhere. */
  static async make(parent = tmpdir()): Promise<PublisherStage> {
    const blobs = await mkdtemp(join(tmpdir(), 'tributary-blobs-'))
    const elsewhere = await mkdtemp(join(parent, 'tributary-published-'))
    onTestFinished(async () => {
      for (const path of [blobs, elsewhere]) await rm(path, { recursive: true, force: true })
    })
    return new PublisherStage(blobs, join(elsewhere, 'assembled'))
  }

  publisher(options: Partial<DirectoryPublisherOptions> = {}): DirectoryPublisher {
    return new DirectoryPublisher({
      directory: this.directory,
      blobs: this.blobs,
      durability: 'strict',
      ...options,
    })
  }

  async open(options: Partial<DirectoryPublisherOptions> = {}): Promise<DirectoryPublisher> {
    const publisher = this.publisher(options)
    await publisher.open()
    return publisher
  }

  /** A finished upload, in one blob for each of its pieces. */
  async finished(...pieces: readonly string[]): Promise<Content> {
    const extents: Extent[] = []
    let length = 0
    for (const piece of pieces) {
      const blob = { id: randomUUID(), epoch: 1 }
      const path = blobPath(this.blobs, blob).file
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, piece)
      const stop = length + Buffer.byteLength(piece)
      extents.push({ start: length, stop, blob, blobOffset: 0 })
      length = stop
    }
    return { uploadId: randomUUID(), extents, length }
  }

  /** Publishes as the use case does: one at a time for each filename, and the rows say what came of it. */
  async publish(publisher: DirectoryPublisher, content: Content, filename: string): Promise<Placed> {
    const ready = await publisher.prepare(content.uploadId, content.extents, content.length)
    const before = this.#queues.get(filename) ?? Promise.resolve()
    const turn = before.then(async () => {
      const holder = this.holderOf(filename)
      const placed = await publisher.place(ready, filename, holder)
      this.record(content, filename, placed, holder)
      return placed
    })
    this.#queues.set(
      filename,
      turn.catch(() => undefined),
    )
    return turn
  }

  record({ uploadId }: Content, filename: string, placed: Placed, holder: Publication | null): void {
    if (holder !== null && placed.name === filename) {
      this.#rows.set(holder.uploadId, { ...holder, name: placed.holderName })
    }
    this.#rows.set(uploadId, { uploadId, filename, name: placed.name, identity: placed.identity })
  }

  holderOf(filename: string): Publication | null {
    return [...this.#rows.values()].find(({ name }) => name === filename) ?? null
  }

  row({ uploadId }: Content): Publication {
    const row = this.#rows.get(uploadId)
    if (row === undefined) throw new Error('It was not published.')
    return row
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Puts a stranger's file there. */
  async put(name: string, text: string, mode = 0o644): Promise<void> {
    await mkdir(this.directory, { recursive: true })
    await writeFile(this.path(name), text)
    await chmod(this.path(name), mode)
  }

  /** What everybody sees, by name; what is no file is told by what it is. */
  async seen(): Promise<Readonly<Record<string, string>>> {
    const names = (await readdir(this.directory)).filter((name) => !isReservedName(name)).sort()
    return Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await this.#look(name)] as const)),
    )
  }

  async #look(name: string): Promise<string> {
    const stats = await lstat(this.path(name))
    if (stats.isSymbolicLink()) return 'a symlink'
    return stats.isDirectory() ? 'a directory' : readFile(this.path(name), 'utf8')
  }

  /** What only we see. */
  async hidden(): Promise<readonly string[]> {
    return (await readdir(this.directory)).filter(isReservedName)
  }

  async mode(name: string): Promise<number> {
    return (await lstat(this.path(name))).mode & 0o777
  }
}

/** Something that happens around a call: before and after it, or instead of it. */
export type Around = <T>(call: string, act: () => Promise<T>) => Promise<T>

/** All calls of a publisher that have an effect, each with something around it. */
export function aroundCalls(around: Around): { readonly fs: FileCalls; readonly names: NameCalls } {
  return {
    fs: {
      ...fileCalls,
      open: (path, flags) => around('open', () => fileCalls.open(path, flags)),
      writev: (fd, buffers, position) => around('writev', () => fileCalls.writev(fd, buffers, position)),
      fdatasync: (fd) => around('fdatasync', () => fileCalls.fdatasync(fd)),
      fsync: (fd) => around('fsync', () => fileCalls.fsync(fd)),
    },
    names: {
      ...nameCalls,
      link: (from, to) => around('link', () => nameCalls.link(from, to)),
      rename: (from, to) => around('rename', () => nameCalls.rename(from, to)),
      unlink: (path) => around('unlink', () => nameCalls.unlink(path)),
      chmod: (path, mode) => around('chmod', () => nameCalls.chmod(path, mode)),
    },
  }
}
