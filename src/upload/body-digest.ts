import type { Blob } from './blob.js'
import { createHasher, type Digest, type DigestAlgorithm } from './digest.js'
import type { Engine } from './engine.js'
import { UploadError } from './errors.js'
import { type FilesHashed, type FilesWanted, HashThreadLost, type RemoteHasher } from './hash-threads.js'

/** The digest of a body, worked out while the body is stored. To be closed in the end. */
export interface BodyDigest {
  /** For the store to be shown every byte; null where the digest is of what was stored. */
  readonly observe: ((bytes: Buffer) => void) | null
  /** To be told how many bytes of the body are stored by now. */
  stored(total: number): void
  /** Of the first `total` bytes, which are stored. May be asked once. Throws `storage_failed`. */
  digest(total: number): Promise<Digest>
  close(): void
}

/** Where the first byte of the body lies. */
export interface BodyPlace {
  readonly blob: Blob
  readonly blobOffset: number
}

/** Shorter bodies are hashed where they pass by: it takes less than a thread's being woken and heard. */
const WORTH_A_THREAD = 2 * 1024 * 1024

/** Bytes after which the thread is told of more, and the most it is told of at once: others wait so long for their turn. */
const SLICE_BYTES = 1024 * 1024
const MOST_BYTES = 8 * SLICE_BYTES

/**
 * `announced`: bytes of the body, null when it does not say. Where blobs are files a thread reads long bodies behind the
 * writer, out of the page cache: hashed where they arrive, 1 GiB took 1.5 times as long as without a checksum.
 */
export function bodyDigest(
  engine: Engine,
  place: BodyPlace,
  algorithm: DigestAlgorithm,
  announced: number | null,
): BodyDigest {
  const short = announced !== null && announced < WORTH_A_THREAD
  return (short ? null : following(engine, place, algorithm)) ?? new PassingDigest(algorithm)
}

/** The digest of a body that was stored before anybody knew which digest would be asked for. */
export async function storedDigest(
  engine: Engine,
  place: BodyPlace,
  algorithm: DigestAlgorithm,
  length: number,
): Promise<Digest> {
  const digest = length < WORTH_A_THREAD ? null : following(engine, place, algorithm)
  if (digest === null) return readBack(engine, place, algorithm, length)
  try {
    return await digest.digest(length)
  } finally {
    digest.close()
  }
}

function following(engine: Engine, place: BodyPlace, algorithm: DigestAlgorithm): FollowingDigest | null {
  const { bytes } = engine
  if (bytes.pathOf === undefined) return null
  const hasher = openHasher(engine, algorithm)
  if (hasher === null) return null
  const file = { path: bytes.pathOf(place.blob), offset: place.blobOffset }
  return new FollowingDigest(file, hasher, (length) => {
    engine.log.warn({ blob: place.blob.id }, 'a thread that hashed has ended; the body is hashed without one')
    return readBack(engine, place, algorithm, length)
  })
}

/** Null where no thread is to be had: a container may have no room for another. */
function openHasher({ threads, log }: Engine, algorithm: DigestAlgorithm): RemoteHasher | null {
  try {
    return threads.open(algorithm)
  } catch (error) {
    log.warn({ err: error }, 'no thread could be had for a checksum; the body is hashed without one')
    return null
  }
}

async function readBack(
  engine: Engine,
  { blob, blobOffset }: BodyPlace,
  algorithm: DigestAlgorithm,
  length: number,
): Promise<Digest> {
  const hasher = createHasher(algorithm)
  if (length === 0) return hasher.digest()
  for await (const bytes of engine.bytes.read(blob, blobOffset, blobOffset + length)) {
    hasher.update(bytes as Buffer)
  }
  return hasher.digest()
}

/** Of bytes that are shown to it. */
class PassingDigest implements BodyDigest {
  readonly observe: (bytes: Buffer) => void
  readonly #hasher: ReturnType<typeof createHasher>

  constructor(algorithm: DigestAlgorithm) {
    this.#hasher = createHasher(algorithm)
    this.observe = (bytes) => this.#hasher.update(bytes)
  }

  stored(): void {
    // It has seen them.
  }

  async digest(): Promise<Digest> {
    return this.#hasher.digest()
  }

  close(): void {
    // Nothing is held.
  }
}

/** Somebody waits from the beginning: nothing is recorded before the digest is known. */
const WANTED: FilesWanted = { isAwaited: () => true, isInterrupted: () => false }

/** Of the file that is being written. */
class FollowingDigest implements BodyDigest {
  readonly observe = null
  readonly #file: { readonly path: string; readonly offset: number }
  readonly #hasher: RemoteHasher
  readonly #otherwise: (length: number) => Promise<Digest>
  #stored = 0
  #hashed = 0
  #reading: Promise<void> | null = null
  #failure: unknown = null

  /** `otherwise` gives the digest where the thread has ended. */
  constructor(
    file: { readonly path: string; readonly offset: number },
    hasher: RemoteHasher,
    otherwise: (length: number) => Promise<Digest>,
  ) {
    this.#file = file
    this.#hasher = hasher
    this.#otherwise = otherwise
  }

  stored(total: number): void {
    this.#stored = total
    if (this.#reading !== null || this.#failure !== null || total - this.#hashed < SLICE_BYTES) return
    this.#reading = this.#read(total)
      .catch((error: unknown) => {
        this.#failure = error
      })
      .finally(() => {
        this.#reading = null
        this.stored(this.#stored)
      })
  }

  async digest(total: number): Promise<Digest> {
    while (this.#reading !== null) await this.#reading
    try {
      if (this.#failure !== null) throw this.#failure
      while (total > this.#hashed) await this.#read(total)
      return await this.#hasher.digest()
    } catch (error) {
      if (error instanceof HashThreadLost) return this.#otherwise(total)
      throw error
    }
  }

  close(): void {
    this.#hasher.close()
  }

  async #read(total: number): Promise<void> {
    const { path, offset } = this.#file
    const stop = Math.min(total, this.#hashed + MOST_BYTES)
    const range = { path, from: offset + this.#hashed, to: offset + stop }
    const outcome = await this.#hasher.updateFrom([range], WANTED)
    if (outcome.ended !== 'end') throw unreadable(outcome)
    this.#hashed = stop
  }
}

function unreadable({ ended, cause }: FilesHashed): UploadError {
  return new UploadError('storage_failed', `The bytes could not be read back to check them (${ended}).`, {
    cause,
  })
}
