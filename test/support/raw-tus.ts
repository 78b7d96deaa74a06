import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export interface Wanted {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
  readonly signal?: AbortSignal
}

/** Every request on a connection of its own, so that nothing a test cuts is shared. */
const agent = new Agent({ keepAlive: false })

/** One request, answered in full. Rejects when the connection breaks. */
export async function send(url: string, wanted: Wanted = {}): Promise<Answer> {
  const { body = '' } = wanted
  const open = new OpenRequest(url, { ...wanted, length: Buffer.byteLength(body) })
  if (body.length > 0) await open.write(body)
  open.end()
  return open.answer
}

/** A request whose body is sent piece by piece, or never to its end. */
export class OpenRequest {
  readonly #request: ClientRequest
  /** Nobody has to look at it: a test may end before it does. */
  readonly answer: Promise<Answer>

  constructor(url: string, wanted: Omit<Wanted, 'body'> & { readonly length: number | null }) {
    const { method = 'GET', headers = {}, signal, length } = wanted
    this.#request = request(url, {
      method,
      agent,
      headers: {
        'Tus-Resumable': '1.0.0',
        ...(length === null ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': length }),
        ...headers,
      },
      ...(signal && { signal }),
    })
    this.answer = answerTo(this.#request)
    this.answer.catch(() => undefined)
    this.#request.flushHeaders()
  }

  /** Resolves when the operating system has taken the bytes, or the connection is gone. */
  async write(bytes: Uint8Array | string): Promise<void> {
    await new Promise<void>((resolve) => this.#request.write(bytes, () => resolve()))
  }

  end(): void {
    this.#request.end()
  }

  /** Hangs up. */
  destroy(): void {
    this.#request.destroy()
  }
}

async function answerTo(sent: ClientRequest): Promise<Answer> {
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const pieces: Buffer[] = []
  for await (const piece of response) pieces.push(piece as Buffer)
  sent.destroy()
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(pieces).toString('utf8'),
  }
}

/** Creates an upload and gives its URL. */
export async function create(
  endpoint: string,
  length: number,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const answer = await send(endpoint, {
    method: 'POST',
    headers: { 'Upload-Length': String(length), ...headers },
  })
  return located(endpoint, answer)
}

export async function createPart(endpoint: string, length: number): Promise<string> {
  return create(endpoint, length, { 'Upload-Concat': 'partial' })
}

/** Makes one upload of several, and gives its URL. */
export async function concatenate(
  endpoint: string,
  parts: readonly string[],
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const answer = await send(endpoint, {
    method: 'POST',
    headers: { 'Upload-Concat': `final;${parts.join(' ')}`, ...headers },
  })
  return located(endpoint, answer)
}

function located(endpoint: string, { status, headers, body }: Answer): string {
  if (status !== 201 || headers.location === undefined) throw new Error(`not created: ${status} ${body}`)
  return new URL(headers.location, endpoint).href
}

/** The same upload as another server, or a proxy, knows it. */
export function at(endpoint: string, upload: string): string {
  return `${endpoint.replace(/\/$/, '')}/${upload.split('/').at(-1)}`
}

export function head(upload: string): Promise<Answer> {
  return send(upload, { method: 'HEAD' })
}

/** Where the upload goes on, as HEAD says. */
export async function offsetOf(upload: string): Promise<number> {
  const { status, headers } = await head(upload)
  if (status !== 200) throw new Error(`HEAD answered ${status}`)
  return Number(headers['upload-offset'])
}

export function patch(upload: string, offset: number, body: Uint8Array): Promise<Answer> {
  return send(upload, { method: 'PATCH', headers: patchHeaders(offset), body })
}

/** A PATCH that announces `length` bytes (null: does not say) and waits for its body. */
export function openPatch(upload: string, offset: number, length: number | null): OpenRequest {
  return new OpenRequest(upload, { method: 'PATCH', headers: patchHeaders(offset), length })
}

function patchHeaders(offset: number): Record<string, string> {
  return { 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream' }
}

/** SHA-256 of what GET gives. */
export async function downloadedDigest(upload: string): Promise<string> {
  const sent = request(upload, { agent }).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const hash = createHash('sha256')
  for await (const piece of response) hash.update(piece as Buffer)
  if (response.statusCode !== 200) throw new Error(`GET answered ${response.statusCode}`)
  return hash.digest('hex')
}
