import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { settle } from './turn.mjs'

const PIECE = 1024 * 1024

/** Files of random bytes, so that no layer can make them fewer. Each is made once and is in the page cache from then on. */
export class Files {
  #directory
  #made = new Map()
  #paths = []

  constructor(directory) {
    this.#directory = directory
  }

  /** Resolves with the path of a file of so many bytes. */
  random(bytes) {
    return this.#once(`random-${bytes}`, async (name) => {
      const path = this.#path(name)
      await pipeline(Readable.from(pieces(bytes), { highWaterMark: 2 }), createWriteStream(path))
      // Whoever measures next must not wait for these bytes to reach the disk.
      await settle()
      return path
    })
  }

  /** Resolves with that file in pieces, each a file of its own: curl takes the length of a form's part from one. */
  chunks(bytes, size) {
    return this.#once(`chunks-${bytes}-${size}`, async (name) => {
      const whole = await this.random(bytes)
      const chunks = []
      for (let start = 0; start < bytes; start += size) {
        const stop = Math.min(bytes, start + size)
        const path = this.#path(`${name}-${start}`)
        await pipeline(createReadStream(whole, { start, end: stop - 1 }), createWriteStream(path))
        chunks.push({ path, start, stop })
      }
      await settle()
      return chunks
    })
  }

  /** Resolves with the digest of the file of so many bytes. */
  digest(bytes, algorithm) {
    return this.#once(`${algorithm}-${bytes}`, async () => {
      const hash = createHash(algorithm)
      await pipeline(createReadStream(await this.random(bytes), { highWaterMark: PIECE }), hash)
      return hash.digest()
    })
  }

  /** Makes room for the next work's files: together they would need a large disk, and a large page cache. */
  async clear() {
    await Promise.allSettled(this.#made.values())
    this.#made.clear()
    await Promise.all(this.#paths.splice(0).map((path) => rm(path, { force: true })))
  }

  #path(name) {
    const path = join(this.#directory, name)
    this.#paths.push(path)
    return path
  }

  #once(name, make) {
    const making = this.#made.get(name) ?? make(name)
    this.#made.set(name, making)
    return making
  }
}

function* pieces(bytes) {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16))
  const zeros = Buffer.alloc(PIECE)
  for (let left = bytes; left > 0; left -= PIECE)
    yield cipher.update(zeros.subarray(0, Math.min(left, PIECE)))
}
