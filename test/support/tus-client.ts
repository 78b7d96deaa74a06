import { EventEmitter, once } from 'node:events'
import { Agent, type ClientRequest } from 'node:http'
import type { Readable } from 'node:stream'
import {
  DefaultHttpStack,
  DetailedError,
  type HttpRequest,
  type HttpResponse,
  type HttpStack,
  type PreviousUpload,
  Upload,
  type UploadOptions,
  type UrlStorage,
} from 'tus-js-client'

/** A request of the client's and what came back; status null: nothing. */
export interface Exchange {
  readonly method: string
  readonly url: string
  readonly concat: string
  readonly requestId: string
  readonly override: string
  readonly metadata: string
  readonly offset: string
  status: number | null
  location: string
  /** The request's id as the server gave it back. */
  answeredId: string
}

export interface ClientOptions extends UploadOptions {
  readonly endpoint: string
  /** A connection on which nothing moved for so long is given up, in ms, as TCP would after minutes. Default 1500. */
  readonly stallsAfter?: number
  /** True: every request on a connection of its own. Default: connections are kept. */
  readonly freshConnections?: boolean
  /** Called before each request. */
  readonly beforeRequest?: (request: HttpRequest) => void
}

/** Many short pauses: what is tested is that resuming works, not that the client has patience. */
const RETRIES = [...Array(5).fill(50), ...Array(200).fill(250)] as number[]

const MOST_STARTS = 20

/** One upload by tus-js-client, with a record of what it did. */
export class TusClient {
  readonly upload: Upload
  readonly exchanges: Exchange[] = []
  #startedAgain = 0
  readonly #moved = new EventEmitter()
  #progress = 0
  readonly #byRequest = new WeakMap<HttpRequest, Exchange>()
  readonly #before: (request: HttpRequest) => void
  #settled: Promise<string> | null = null
  #settle: { resolve: (url: string) => void; reject: (error: Error) => void } | null = null

  constructor(file: Buffer | Readable, options: ClientOptions) {
    const { stallsAfter = 1_500, freshConnections = false, beforeRequest, ...rest } = options
    this.#before = beforeRequest ?? (() => undefined)
    this.upload = new Upload(file as Buffer, {
      retryDelays: RETRIES,
      ...rest,
      httpStack: new ImpatientStack(stallsAfter, !freshConnections),
      onBeforeRequest: (sent) => this.#sending(sent),
      onAfterResponse: (sent, answer) => this.#answered(sent, answer),
      onProgress: (sent, total) => {
        this.#progress = sent
        this.#moved.emit('progress')
        rest.onProgress?.(sent, total)
      },
      onSuccess: () => this.#settle?.resolve(this.upload.url ?? ''),
      onError: (error) => this.#onError(error),
    })
  }

  /** Uploads; resolves with the URL. */
  run(): Promise<string> {
    this.#settled ??= new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.upload.start()
    })
    return this.#settled
  }

  /** Resolves once so many bytes have left, as the client counts. */
  async hasSent(bytes: number): Promise<void> {
    while (this.#progress < bytes) await once(this.#moved, 'progress')
  }

  /** Takes up what the URL storage remembers of this file. False when that is nothing. */
  async resume(): Promise<boolean> {
    const [previous] = await this.upload.findPreviousUploads()
    if (previous === undefined) return false
    this.upload.resumeFromPreviousUpload(previous)
    return true
  }

  /** Acknowledged creations, finals aside: one more than there are parts means that the client started over. */
  get creations(): readonly Exchange[] {
    return this.exchanges.filter((each) => isCreation(each) && !each.concat.startsWith('final'))
  }

  /** Acknowledged finals. */
  get finals(): readonly Exchange[] {
    return this.exchanges.filter((each) => isCreation(each) && each.concat.startsWith('final'))
  }

  /** The largest offset at which it began to send bytes of a part. */
  get resumedAt(): number {
    const first = new Map<string, number>()
    for (const { url, offset } of this.exchanges) {
      if (offset !== '' && !first.has(url)) first.set(url, Number(offset))
    }
    return Math.max(0, ...first.values())
  }

  /** Statuses with which HEAD was answered. */
  get headStatuses(): ReadonlySet<number> {
    const heads = this.exchanges.filter(({ method, status }) => method === 'HEAD' && status !== null)
    return new Set(heads.map(({ status }) => status ?? 0))
  }

  /**
   * For tus-js-client 4.3 a final whose connection broke is a fatal error: it tries a request again only if it can name
   * it. Here an application would start the upload again, by hand or by its user's.
   */
  #onError(error: Error): void {
    if (error instanceof DetailedError || this.#startedAgain >= MOST_STARTS) {
      this.#settle?.reject(error)
      return
    }
    this.#startedAgain += 1
    this.upload.start()
  }

  #sending(sent: HttpRequest): void {
    this.#before(sent)
    const header = (name: string) => sent.getHeader(name) ?? ''
    const exchange: Exchange = {
      method: sent.getMethod(),
      url: sent.getURL(),
      concat: header('Upload-Concat'),
      requestId: header('X-Request-ID'),
      override: header('X-HTTP-Method-Override'),
      metadata: header('Upload-Metadata'),
      offset: header('Upload-Offset'),
      status: null,
      location: '',
      answeredId: '',
    }
    this.exchanges.push(exchange)
    this.#byRequest.set(sent, exchange)
  }

  #answered(sent: HttpRequest, answer: HttpResponse): void {
    const exchange = this.#byRequest.get(sent)
    if (exchange === undefined) throw new Error('an answer to a request that was not sent')
    exchange.status = answer.getStatus()
    exchange.location = answer.getHeader('Location') ?? ''
    exchange.answeredId = answer.getHeader('X-Request-ID') ?? ''
  }
}

function isCreation({ method, override, status }: Exchange): boolean {
  return method === 'POST' && override === '' && status === 201
}

/** tus-js-client has no time-out of its own: without one it waits for ever at a half-open connection. */
class ImpatientStack implements HttpStack {
  readonly #stack: DefaultHttpStack
  readonly #patience: number

  constructor(patience: number, keepAlive: boolean) {
    this.#stack = new DefaultHttpStack({ agent: new Agent({ keepAlive }) })
    this.#patience = patience
  }

  createRequest(method: string, url: string): HttpRequest {
    const made = this.#stack.createRequest(method, url)
    const sendIt = made.send.bind(made)
    made.send = (body: unknown) => {
      const answer = sendIt(body)
      const sent = made.getUnderlyingObject() as ClientRequest
      sent.setTimeout(this.#patience, () => sent.destroy(new Error('the connection stalled')))
      return answer
    }
    return made
  }

  getName(): string {
    return 'impatient'
  }
}

/** What a browser's localStorage is to tus-js-client. */
export class MemoryUrlStorage implements UrlStorage {
  readonly #entries = new Map<string, PreviousUpload & { fingerprint: string }>()

  async findAllUploads(): Promise<PreviousUpload[]> {
    return [...this.#entries.values()]
  }

  async findUploadsByFingerprint(fingerprint: string): Promise<PreviousUpload[]> {
    return [...this.#entries.values()].filter((entry) => entry.fingerprint === fingerprint)
  }

  async removeUpload(urlStorageKey: string): Promise<void> {
    this.#entries.delete(urlStorageKey)
  }

  async addUpload(fingerprint: string, upload: PreviousUpload): Promise<string> {
    const urlStorageKey = `${fingerprint}::${this.#entries.size}`
    this.#entries.set(urlStorageKey, { ...upload, urlStorageKey, fingerprint })
    return urlStorageKey
  }
}
