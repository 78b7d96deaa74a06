import { createHash } from 'node:crypto'
import { type Answer, OpenRequest, send } from './raw-tus.js'

export const BOUNDARY = 'tributary-test-boundary'
export const MULTIPART = `multipart/form-data; boundary=${BOUNDARY}`

export interface Part {
  readonly name: string
  /** A part with a file name is a file. */
  readonly filename?: string
  readonly content: Uint8Array | string
  /** More lines of its head. */
  readonly headers?: readonly string[]
}

/** What parts begin with: all of it up to their content. */
export function partHead({ name, filename, headers = [] }: Omit<Part, 'content'>): string {
  const file = filename === undefined ? '' : `; filename="${filename}"`
  const lines = [`Content-Disposition: form-data; name="${name}"${file}`, ...headers]
  return `--${BOUNDARY}\r\n${lines.join('\r\n')}\r\n\r\n`
}

export const CLOSING = `\r\n--${BOUNDARY}--\r\n`

/** A multipart body; without the closing line it is cut. */
export function multipart(parts: readonly Part[], closing = CLOSING): Buffer {
  const pieces = parts.flatMap((part, index) => [
    Buffer.from(index === 0 ? '' : '\r\n'),
    Buffer.from(partHead(part), 'latin1'),
    Buffer.from(part.content as Uint8Array),
  ])
  return Buffer.concat([...pieces, Buffer.from(closing)])
}

export function filePart(content: Uint8Array | string): Part {
  return { name: 'file', filename: 'blob', content }
}

/** An answer whose body is JSON; undefined where it is not. */
export interface JsonAnswer extends Answer {
  // biome-ignore lint/suspicious/noExplicitAny: tests compare it with what they expect
  readonly json: any
}

export function toJson(answer: Answer): JsonAnswer {
  return {
    ...answer,
    json:
      answer.headers['content-type'] === 'application/json' && answer.body !== ''
        ? JSON.parse(answer.body)
        : undefined,
  }
}

/** A client of frago at one mount path, which ends with a slash. */
export class FragoClient {
  readonly base: string
  readonly #headers: Readonly<Record<string, string>>

  constructor(base: string, headers: Readonly<Record<string, string>> = {}) {
    this.base = base
    this.#headers = headers
  }

  urlOf(id: string): string {
    return `${this.base}${id}/`
  }

  async request(
    method: string,
    url: string,
    body?: Uint8Array | string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<JsonAnswer> {
    const all = { ...this.#headers, ...headers }
    return toJson(await send(url, { method, headers: all, ...(body !== undefined && { body }) }))
  }

  json(method: string, url: string, fields: unknown): Promise<JsonAnswer> {
    return this.request(method, url, JSON.stringify(fields), { 'Content-Type': 'application/json' })
  }

  /** Starts an upload and gives its id. */
  async start(filename: string, length: number): Promise<string> {
    const answer = await this.json('POST', this.base, { filename, total_size: String(length) })
    if (answer.status !== 201) throw new Error(`not started: ${answer.status} ${answer.body}`)
    return answer.json.upload_id
  }

  /** Sends bytes as the chunk from `start` on of an upload of `total` bytes. */
  put(id: string, start: number, bytes: Uint8Array | string, total: number): Promise<JsonAnswer> {
    return this.putParts(id, rangeOf(start, Buffer.byteLength(bytes), total), [filePart(bytes)])
  }

  putParts(
    id: string,
    range: string,
    parts: readonly Part[],
    closing: string = CLOSING,
  ): Promise<JsonAnswer> {
    const headers = { 'Content-Type': MULTIPART, 'Content-Range': range }
    return this.request('PUT', this.urlOf(id), multipart(parts, closing), headers)
  }

  /** A PUT that says how much comes, and of that nothing yet. */
  openPut(id: string, start: number, size: number, total: number): OpenChunk {
    return new OpenChunk(this.urlOf(id), this.#headers, { start, size, total })
  }

  finalize(id: string, checksum: unknown, algorithm?: unknown): Promise<JsonAnswer> {
    const fields = { checksum, ...(algorithm !== undefined && { checksum_algo: algorithm }) }
    return this.json('POST', this.urlOf(id), fields)
  }

  detail(id: string): Promise<JsonAnswer> {
    return this.request('GET', this.urlOf(id))
  }

  list(): Promise<JsonAnswer> {
    return this.request('GET', this.base)
  }

  /** A whole upload in one chunk, finished. */
  async upload(filename: string, bytes: Buffer): Promise<string> {
    const id = await this.start(filename, bytes.length)
    if (bytes.length > 0) expectStatus(200, await this.put(id, 0, bytes, bytes.length))
    expectStatus(201, await this.finalize(id, md5(bytes)))
    return id
  }
}

function expectStatus(status: number, answer: Answer): void {
  if (answer.status !== status) throw new Error(`${answer.status} instead of ${status}: ${answer.body}`)
}

/** A chunk whose client sends it piece by piece. */
export class OpenChunk {
  readonly #request: OpenRequest
  readonly #total: number

  constructor(
    url: string,
    headers: Readonly<Record<string, string>>,
    { start, size, total }: { readonly start: number; readonly size: number; readonly total: number },
  ) {
    const head = partHead({ name: 'file', filename: 'blob' })
    this.#total = Buffer.byteLength(head) + size + CLOSING.length
    this.#request = new OpenRequest(url, {
      method: 'PUT',
      length: this.#total,
      headers: { ...headers, 'Content-Type': MULTIPART, 'Content-Range': rangeOf(start, size, total) },
    })
    // Into its buffer: nobody has to wait for it.
    this.#request.write(head).catch(() => undefined)
  }

  write(bytes: Uint8Array | string): Promise<void> {
    return this.#request.write(bytes)
  }

  /** Says that it was all. */
  async end(): Promise<JsonAnswer> {
    await this.#request.write(CLOSING)
    this.#request.end()
    return this.answer
  }

  get answer(): Promise<JsonAnswer> {
    return this.#request.answer.then(toJson)
  }

  /** Hangs up. */
  destroy(): void {
    this.#request.destroy()
  }
}

export function rangeOf(start: number, size: number, total: number): string {
  return `bytes ${start}-${start + size - 1}/${total}`
}

export function md5(bytes: Uint8Array | string): string {
  return hexDigest('md5', bytes)
}

export function hexDigest(algorithm: string, bytes: Uint8Array | string): string {
  return createHash(algorithm).update(bytes).digest('hex')
}
