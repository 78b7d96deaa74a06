import { resolve } from 'node:path'
import type { Extent } from '../../src/upload/blob.js'
import type { Placed, Publication, Publisher, ReadyFile } from '../../src/upload/ports.js'
import type { Upload } from '../../src/upload/upload.js'
import { DirectoryPublisher, type DirectoryPublisherOptions } from './directory-publisher.js'

/** Names the directory an upload's finished file appears in: below the publisher's own, or absolute. */
export type DirectoryOf = (upload: Upload) => string

/** So many directories are kept at hand; another costs no more than an object. */
const MOST_AT_HAND = 1_000

/**
 * Finished files in directories that code chooses by upload. To the registry the directory is part of the name, so that
 * files of one name in two directories do not displace each other; the directory is the server's word, and only
 * what follows the last slash is the client's.
 */
export class DiskPublisher implements Publisher {
  readonly #options: DirectoryPublisherOptions
  readonly #directoryOf: DirectoryOf
  readonly #publishers = new Map<string, DirectoryPublisher>()

  constructor(options: DirectoryPublisherOptions, directoryOf: DirectoryOf = () => '') {
    this.#options = options
    this.#directoryOf = directoryOf
  }

  /** Opens the directory that others are below of. */
  open(): ReturnType<DirectoryPublisher['open']> {
    return this.#in('').open()
  }

  nameOf(upload: Upload): string | null {
    if (upload.filename === null) return null
    const directory = this.#directoryOf(upload)
    checkDirectory(directory)
    return directory === '' ? upload.filename : `${directory.replace(/\/+$/, '')}/${upload.filename}`
  }

  prepare(publication: Publication, extents: readonly Extent[], length: number): Promise<ReadyFile> {
    const { directory } = split(publication.filename)
    return this.#in(directory).prepare(publication.uploadId, extents, length)
  }

  async place(ready: ReadyFile, filename: string, holder: Publication | null): Promise<Placed> {
    const { directory, name } = split(filename)
    const placed = await this.#in(directory).place(ready, name, holder && within(holder, directory))
    return {
      ...placed,
      name: join(directory, placed.name),
      holderName: placed.holderName === null ? null : join(directory, placed.holderName),
    }
  }

  remove(publication: Publication): Promise<void> {
    const { directory } = split(publication.filename)
    return this.#in(directory).remove(within(publication, directory))
  }

  #in(directory: string): DirectoryPublisher {
    const known = this.#publishers.get(directory)
    if (known !== undefined) return known
    if (this.#publishers.size >= MOST_AT_HAND) this.#publishers.clear()
    const path = resolve(this.#options.directory, directory)
    const publisher = new DirectoryPublisher({ ...this.#options, directory: path })
    this.#publishers.set(directory, publisher)
    return publisher
  }
}

/** Code may put a client's text into it, an owner's name say, which must not lead elsewhere (law 8). */
function checkDirectory(directory: unknown): asserts directory is string {
  const fine =
    typeof directory === 'string' &&
    !/\p{Cc}/u.test(directory) &&
    !directory.split(/[\\/]/).some((segment) => segment === '.' || segment === '..')
  if (fine) return
  throw new TypeError(
    `A directory for finished files must be a path without . and .., not ${JSON.stringify(directory)}.`,
  )
}

function split(path: string): { directory: string; name: string } {
  const at = path.lastIndexOf('/')
  return { directory: path.slice(0, Math.max(at, 0)), name: path.slice(at + 1) }
}

function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`
}

/** A publication as the publisher of its directory knows it. */
function within(publication: Publication, directory: string): Publication {
  const base = (path: string) => (directory === '' ? path : path.slice(directory.length + 1))
  const { filename, name } = publication
  return { ...publication, filename: base(filename), name: name === null ? null : base(name) }
}
