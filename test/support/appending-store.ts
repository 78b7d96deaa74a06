import { Readable } from 'node:stream'
import { DataStore, ERRORS, Upload } from '@tus/utils'

interface Kept {
  readonly upload: Upload
  readonly pieces: Buffer[]
  length: number
  finished: boolean
}

/**
 * A @tus store in memory with the limits of S3Store: bytes go to the end wherever they are told to go, nothing can be
 * read before a write has reached the declared length, and nothing can be added after that.
 */
export class AppendingStore extends DataStore {
  readonly #kept = new Map<string, Kept>()
  readonly #failsAfter: number

  /** `failsAfter`: a write keeps so many bytes and fails at the next one, as if there were no more room. */
  constructor({ failsAfter = Number.POSITIVE_INFINITY } = {}) {
    super()
    this.#failsAfter = failsAfter
  }

  override async create(upload: Upload): Promise<Upload> {
    this.#kept.set(upload.id, { upload, pieces: [], length: 0, finished: false })
    return upload
  }

  override async getUpload(id: string): Promise<Upload> {
    const { upload, length } = this.#find(id)
    return new Upload({
      id,
      offset: length,
      storage: { type: 'memory', path: id },
      ...(upload.size !== undefined && { size: upload.size }),
      ...(upload.metadata && { metadata: upload.metadata }),
    })
  }

  override async write(source: Readable, id: string, offset: number): Promise<number> {
    const kept = this.#find(id)
    if (kept.finished) throw new Error('NoSuchUpload')
    let written = 0
    for await (const piece of source) {
      const room = this.#failsAfter - written
      const bytes = (piece as Buffer).subarray(0, room)
      kept.pieces.push(Buffer.from(bytes))
      kept.length += bytes.length
      written += bytes.length
      if ((piece as Buffer).length > room) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
    }
    kept.finished = kept.upload.size === kept.length
    return offset + written
  }

  async read(id: string): Promise<Readable> {
    const { pieces, finished } = this.#find(id)
    if (!finished) throw new Error('NoSuchKey')
    return Readable.from([...pieces], { objectMode: false })
  }

  override async declareUploadLength(id: string, length: number): Promise<void> {
    this.#find(id).upload.size = length
  }

  override async remove(id: string): Promise<void> {
    this.#find(id)
    this.#kept.delete(id)
  }

  #find(id: string): Kept {
    const kept = this.#kept.get(id)
    if (kept === undefined) throw ERRORS.FILE_NOT_FOUND
    return kept
  }
}
