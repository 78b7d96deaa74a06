import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { onTestFinished, vi } from 'vitest'

/** What a client sent as a chunk, and what it was told. */
export interface SentChunk {
  readonly start: number
  readonly stop: number
  /** Null while the answer has not come, or when it never will. */
  status: number | null
}

/**
 * An HTTP proxy before a server, which may be another one from one moment to the next. It remembers the chunks, and
 * holds back as many of them as a test wants.
 */
export class ChunkProxy {
  /** Port of the server. */
  target: number
  readonly #server: Server
  #chunks: SentChunk[] = []
  #room = Number.POSITIVE_INFINITY
  #held: { readonly asked: IncomingMessage; readonly go: () => void }[] = []
  #answers = Number.POSITIVE_INFINITY

  private constructor(target: number) {
    this.target = target
    this.#server = createServer((asked, answer) => {
      void this.#pass(asked, answer)
    })
  }

  /** Closed when the test is over. */
  static async open(target: number): Promise<ChunkProxy> {
    const proxy = new ChunkProxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    onTestFinished(async () => {
      const closed = once(proxy.#server, 'close')
      proxy.#server.close()
      proxy.#server.closeAllConnections()
      await closed
    })
    return proxy
  }

  get origin(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
    return `http://127.0.0.1:${address.port}`
  }

  /** Since `watch` was last called. */
  get chunks(): readonly SentChunk[] {
    return this.#chunks
  }

  get stored(): readonly SentChunk[] {
    return this.#chunks.filter(({ status }) => status === 200)
  }

  /** Remembers from here on; after so many chunks, further ones have to wait. */
  watch(room: number = Number.POSITIVE_INFINITY): void {
    this.#chunks = []
    this.#room = room
    this.#answers = Number.POSITIVE_INFINITY
    for (const { go } of this.#held.splice(0)) go()
  }

  /** Remembers from here on; the answer to the chunk of this number, counted from 1, and to later ones is lost. */
  keepAnswersFrom(number: number): void {
    this.watch()
    this.#answers = number - 1
  }

  /** How many chunks are held back. */
  get waiting(): number {
    return this.#held.length
  }

  /** Of a client that is gone: nobody reads what it sent last, and so nobody would notice. */
  dropHeld(): void {
    for (const { asked } of this.#held.splice(0)) asked.destroy()
  }

  async untilStored(count: number): Promise<void> {
    await vi.waitFor(
      () => {
        if (this.stored.length < count) throw new Error(`${this.stored.length} of ${count} chunks are stored`)
      },
      { timeout: 60_000, interval: 5 },
    )
  }

  async #pass(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    asked.on('error', () => undefined)
    if (asked.method === 'PUT') await this.#turn(asked)
    const chunk = asked.method === 'PUT' ? this.#remember(asked) : null
    const passed = request({
      ...{ host: '127.0.0.1', port: this.target, agent: false },
      ...{ method: asked.method, path: asked.url, headers: { ...asked.headers, connection: 'close' } },
    })
    passed.on('error', () => answer.destroy())
    asked.on('close', () => {
      if (!asked.complete) passed.destroy()
    })
    passed.on('response', (response) => {
      response.on('error', () => answer.destroy())
      if (chunk) chunk.status = response.statusCode ?? null
      if (chunk && this.#answers-- <= 0) return
      const { connection: _, 'keep-alive': __, ...headers } = response.headers
      answer.writeHead(response.statusCode ?? 502, headers)
      response.pipe(answer)
    })
    asked.pipe(passed)
  }

  async #turn(asked: IncomingMessage): Promise<void> {
    while (this.#room <= 0) await new Promise<void>((go) => this.#held.push({ asked, go }))
    this.#room--
  }

  #remember({ headers }: IncomingMessage): SentChunk {
    const [, first, last] = /^bytes (\d+)-(\d+)\//.exec(headers['content-range'] ?? '') ?? []
    const chunk = { start: Number(first), stop: Number(last) + 1, status: null }
    this.#chunks.push(chunk)
    return chunk
  }
}
