import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { type Answer, at, OpenRequest } from '../raw-tus.js'
import type { Doom } from './doom.js'

const TUS = { 'Tus-Resumable': '1.0.0' }

/** The connection ended because the server was killed; what became of the request nobody knows. */
export class Cut extends Error {
  constructor(cause: unknown) {
    super('the server was killed', { cause })
    this.name = 'Cut'
  }
}

interface Sending {
  readonly method: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Iterable<Buffer>
  readonly length?: number
  /** Told of every piece that the operating system took. */
  readonly onSent?: (bytes: number) => void
}

/** Requests to a server that may be killed at any moment. */
export class Client {
  readonly endpoint: string
  readonly #doom: Doom | null

  constructor(endpoint: string, doom: Doom | null) {
    this.endpoint = endpoint
    this.#doom = doom
  }

  get isDoomed(): boolean {
    return this.#doom?.hasStruck ?? false
  }

  /** Sends to an upload, or to the endpoint. Throws `Cut` when the server dies before its answer is read. */
  async send(
    id: string | null,
    { method, headers, body = [], length = 0, onSent }: Sending,
  ): Promise<Answer> {
    this.#doom?.note('requests')
    const url = id === null ? this.endpoint : at(this.endpoint, id)
    const open = new OpenRequest(url, { method, length, ...(headers && { headers }) })
    try {
      for (const piece of body) {
        await open.write(piece)
        onSent?.(piece.length)
        this.#doom?.note('bytes', piece.length)
        if (this.isDoomed) break
      }
      if (!this.isDoomed) open.end()
      const answer = await open.answer
      if (headers?.['Upload-Concat']?.startsWith('final')) this.#doom?.note('finals')
      this.#doom?.note('answers')
      return answer
    } catch (error) {
      if (this.isDoomed) throw new Cut(error)
      throw error
    } finally {
      open.destroy()
    }
  }

  head(id: string): Promise<Answer> {
    return this.send(id, { method: 'HEAD' })
  }

  /** SHA-256 of a download. Throws `Cut` when the server dies on the way. */
  async digest(id: string): Promise<string> {
    this.#doom?.note('requests')
    const sent = request(at(this.endpoint, id), { headers: TUS }).end()
    try {
      const [response] = (await once(sent, 'response')) as [IncomingMessage]
      if (response.statusCode !== 200) throw new Error(`GET of ${id} answered ${response.statusCode}`)
      const hash = createHash('sha256')
      for await (const piece of response) hash.update(piece as Buffer)
      return hash.digest('hex')
    } catch (error) {
      if (this.isDoomed) throw new Cut(error)
      throw error
    } finally {
      sent.destroy()
    }
  }
}
