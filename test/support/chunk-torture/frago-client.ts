import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { OpenRequest } from '../raw-tus.js'
import { Cut } from '../torture/client.js'
import type { Doom } from '../torture/doom.js'

const BOUNDARY = randomUUID()

/** As often as a chunk that somebody else holds is tried again; the server itself waits for 8 s each time. */
const TRIES = 10
const BUSY = 423
const BUSY_MS = 50

export interface Chunk {
  readonly start: number
  readonly stop: number
  /** Length of the whole. */
  readonly total: number
}

export interface FragoAnswer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

export interface Listed {
  readonly status: 'in_progress' | 'complete' | 'expired'
  readonly chunks: readonly { readonly start: number; readonly stop: number }[]
}

/** Requests in frago's manner, each on a connection of its own, to a server that may be killed at any moment. */
export class FragoClient {
  readonly #base: string
  readonly #doom: Doom | null

  /** `base` is the address at which uploads are started, with its slash. */
  constructor(base: string, doom: Doom | null = null) {
    this.#base = base
    this.#doom = doom
  }

  get isDoomed(): boolean {
    return this.#doom?.hasStruck ?? false
  }

  async start(filename: string, size: number): Promise<string> {
    const answer = await this.#post('', { filename, total_size: String(size) })
    if (answer.status !== 201) throw new Error(`the start is answered ${JSON.stringify(answer)}`)
    return String(answer.body.upload_id)
  }

  async list(upload: string): Promise<Listed> {
    const { status, body } = await this.#send('GET', `${upload}/`, {}, [], 0)
    if (status !== 200) throw new Error(`GET of ${upload} is answered ${status} ${JSON.stringify(body)}`)
    const { status: state, chunks } = body as {
      status: Listed['status']
      chunks: { start: number; end: number }[]
    }
    return { status: state, chunks: chunks.map(({ start, end }) => ({ start, stop: end + 1 })) }
  }

  /** Tries again while somebody else holds the range. */
  async put(upload: string, chunk: Chunk, bytes: () => Iterable<Buffer>): Promise<FragoAnswer> {
    for (let tries = 1; ; tries++) {
      const answer = await this.putOnce(upload, chunk, bytes())
      if (answer.status !== BUSY || tries === TRIES) return answer
      await sleep(BUSY_MS)
    }
  }

  async putOnce(
    upload: string,
    { start, stop, total }: Chunk,
    bytes: Iterable<Buffer>,
    size = stop - start,
  ): Promise<FragoAnswer> {
    const part = `Content-Disposition: form-data; name="file"; filename="chunk"\r\nContent-Type: application/octet-stream`
    const head = Buffer.from(`--${BOUNDARY}\r\n${part}\r\n\r\n`)
    const tail = Buffer.from(`\r\n--${BOUNDARY}--\r\n`)
    const headers = {
      'Content-Type': `multipart/form-data; boundary=${BOUNDARY}`,
      'Content-Range': `bytes ${start}-${stop - 1}/${total}`,
    }
    const pieces = (function* () {
      yield head
      yield* bytes
      yield tail
    })()
    return this.#send('PUT', `${upload}/`, headers, pieces, head.length + size + tail.length)
  }

  /** Announces a whole chunk, sends some of it and hangs up. */
  async putAndLeave(upload: string, { start, stop, total }: Chunk, bytes: Buffer): Promise<void> {
    const open = new OpenRequest(`${this.#base}${upload}/`, {
      method: 'PUT',
      headers: {
        'Content-Type': `multipart/form-data; boundary=${BOUNDARY}`,
        'Content-Range': `bytes ${start}-${stop - 1}/${total}`,
      },
      length: stop - start + 200,
    })
    await open.write(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="chunk"\r\n\r\n`)
    await open.write(bytes)
    open.destroy()
  }

  async finalize(upload: string, checksum: string, algorithm = 'md5'): Promise<FragoAnswer> {
    const answer = await this.#post(`${upload}/`, { checksum, checksum_algo: algorithm })
    this.#doom?.note('finals')
    return answer
  }

  #post(address: string, fields: Readonly<Record<string, string>>): Promise<FragoAnswer> {
    const body = Buffer.from(JSON.stringify(fields))
    return this.#send('POST', address, { 'Content-Type': 'application/json' }, [body], body.length)
  }

  /** Throws `Cut` when the server dies before its answer is read. */
  async #send(
    method: string,
    address: string,
    headers: Readonly<Record<string, string>>,
    body: Iterable<Buffer>,
    length: number,
  ): Promise<FragoAnswer> {
    this.#doom?.note('requests')
    const open = new OpenRequest(`${this.#base}${address}`, { method, headers, length })
    try {
      for (const piece of body) {
        await open.write(piece)
        this.#doom?.note('bytes', piece.length)
        if (this.isDoomed) break
      }
      if (!this.isDoomed) open.end()
      const answer = await open.answer
      this.#doom?.note('answers')
      return { status: answer.status, body: JSON.parse(answer.body) }
    } catch (error) {
      if (this.isDoomed) throw new Cut(error)
      throw error
    } finally {
      open.destroy()
    }
  }
}
