import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A call as the SDK made it. */
export interface S3Call {
  readonly operation: string
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  /** Bytes of the bodies that went by. */
  sent: number
  received: number
  status: number
}

/** An answer in the place of the server's. */
export interface Refusal {
  readonly status: number
  readonly code: string
  /** Whether the server gets the request all the same, and only its answer is lost. */
  readonly forwarded?: boolean
}

/** How a provider differs: says what becomes of a call. */
export type Quirk = (call: S3Call) => Refusal | 'cut' | undefined | Promise<Refusal | 'cut' | undefined>

/** What stands between the store and a real server, and lets it look like another provider, or like a bad network. */
export class S3Proxy {
  readonly calls: S3Call[] = []
  quirks: readonly Quirk[] = []
  /** A call that is to be late: its body is read, and goes on when the promise resolves, whatever has become of the client. */
  delays: (call: S3Call) => Promise<void> | undefined = () => undefined
  /** Late calls that the server has answered, or hung up on: then with status 0. */
  readonly late: S3Call[] = []
  /** Codes in answers that this provider has other names for. */
  renames: Readonly<Record<string, string>> = {}
  readonly #server: Server
  readonly #target: URL

  private constructor(target: string) {
    this.#target = new URL(target)
    this.#server = createServer((incoming, response) => {
      this.#handle(incoming, response).catch(() => response.destroy())
    })
  }

  static async start(target: string): Promise<S3Proxy> {
    const proxy = new S3Proxy(target)
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The calls so far of one operation. */
  of(operation: string): readonly S3Call[] {
    return this.calls.filter((call) => call.operation === operation)
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  async #handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = callOf(incoming)
    this.calls.push(call)
    for (const quirk of this.quirks) {
      const outcome = await quirk(call)
      if (outcome === 'cut') {
        incoming.socket.destroy()
        return
      }
      if (outcome === undefined) continue
      if (outcome.forwarded) await this.#forward(incoming, call, null)
      else for await (const bytes of incoming) call.sent += (bytes as Buffer).length
      call.status = outcome.status
      response.writeHead(outcome.status, { 'content-type': 'application/xml' })
      response.end(
        `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${outcome.code}</Code><Message>m</Message></Error>`,
      )
      return
    }
    const delay = this.delays(call)
    if (delay === undefined) await this.#forward(incoming, call, response)
    else await this.#forwardLate(incoming, call, delay)
  }

  async #forwardLate(incoming: IncomingMessage, call: S3Call, delay: Promise<void>): Promise<void> {
    const body: Buffer[] = []
    for await (const bytes of incoming) body.push(bytes as Buffer)
    await delay
    const { hostname, port } = this.#target
    const { method, url: path, headers } = incoming
    const outgoing = request({ hostname, port, method, path, headers })
    // The server may refuse it, and hang up, before it has read all of it.
    outgoing.on('error', () => undefined)
    call.status = await new Promise<number>((resolve) => {
      outgoing.once('response', (answer) => {
        answer.resume()
        resolve(answer.statusCode ?? 0)
      })
      outgoing.once('close', () => resolve(0))
      outgoing.end(Buffer.concat(body))
    })
    this.late.push(call)
  }

  #forward(incoming: IncomingMessage, call: S3Call, response: ServerResponse | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const { hostname, port } = this.#target
      // With the host the client signed.
      const outgoing = request(
        { hostname, port, method: incoming.method, path: incoming.url, headers: incoming.headers },
        (answer) => {
          call.status = answer.statusCode ?? 0
          this.#answer(answer, call, response).then(resolve, reject)
        },
      )
      outgoing.on('error', reject)
      incoming.on('error', () => outgoing.destroy())
      incoming.on('data', (bytes: Buffer) => {
        call.sent += bytes.length
      })
      incoming.pipe(outgoing)
    })
  }

  async #answer(answer: IncomingMessage, call: S3Call, response: ServerResponse | null): Promise<void> {
    const renamed = (answer.statusCode ?? 0) >= 300 && Object.keys(this.renames).length > 0
    if (response !== null && !renamed) response.writeHead(answer.statusCode ?? 0, answer.headers)
    const kept: Buffer[] = []
    for await (const bytes of answer) {
      call.received += (bytes as Buffer).length
      if (renamed) kept.push(bytes as Buffer)
      else if (response?.write(bytes) === false) await Promise.race([drained(response), sleep(5_000)])
    }
    if (response === null) return
    if (!renamed) {
      response.end()
      return
    }
    let text = Buffer.concat(kept).toString()
    for (const [code, other] of Object.entries(this.renames))
      text = text.replaceAll(`>${code}<`, `>${other}<`)
    response.writeHead(answer.statusCode ?? 0, {
      ...answer.headers,
      'content-length': Buffer.byteLength(text),
    })
    response.end(text)
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    response.once('drain', resolve)
    response.once('close', resolve)
  })
}

function callOf({ method = '', url = '', headers }: IncomingMessage): S3Call {
  const { pathname, searchParams: query } = new URL(url, 'http://host')
  const key = decodeURIComponent(pathname.split('/').slice(2).join('/'))
  return {
    operation: operationOf(method, key, query, headers),
    key,
    query,
    headers,
    sent: 0,
    received: 0,
    status: 0,
  }
}

function operationOf(
  method: string,
  key: string,
  query: URLSearchParams,
  headers: IncomingMessage['headers'],
): string {
  const isPart = query.has('partNumber')
  const name = {
    PUT: isPart ? (headers['x-amz-copy-source'] ? 'UploadPartCopy' : 'UploadPart') : 'PutObject',
    POST: query.has('uploads') ? 'CreateMultipartUpload' : 'CompleteMultipartUpload',
    DELETE: query.has('uploadId') ? 'AbortMultipartUpload' : 'DeleteObject',
    HEAD: key === '' ? 'HeadBucket' : 'HeadObject',
    GET: query.has('uploads')
      ? 'ListMultipartUploads'
      : query.has('uploadId')
        ? 'ListParts'
        : key === ''
          ? 'ListObjects'
          : 'GetObject',
  }[method]
  return name ?? method
}
