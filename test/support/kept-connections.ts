import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { sha256 } from './seeded.js'

/**
 * tus requests on connections that are kept, as browsers keep them. Not by fetch: on Node 20 its own handling of bodies
 * can end the process with `ERR_INVALID_STATE`, here that of the tests.
 */
const agent = new Agent({ keepAlive: true })

export interface KeptAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface KeptRequest {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
}

export async function send(
  url: string,
  { method = 'GET', headers, body }: KeptRequest = {},
): Promise<KeptAnswer> {
  const { response, bytes } = await ask(url, {
    method,
    ...(headers && { headers }),
    ...(body !== undefined && { body }),
  })
  const texts = Object.entries(response.headers).map(([name, value]) => [name, String(value)])
  return { status: response.statusCode ?? 0, headers: Object.fromEntries(texts), body: bytes.toString() }
}

async function ask(
  url: string,
  { method = 'GET', headers = {}, body }: KeptRequest,
): Promise<{ response: IncomingMessage; bytes: Buffer }> {
  const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }
  const sent = request(url, { method, agent, headers: { 'Tus-Resumable': '1.0.0', ...length, ...headers } })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const pieces: Buffer[] = []
  for await (const piece of response) pieces.push(piece as Buffer)
  return { response, bytes: Buffer.concat(pieces) }
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
  if (answer.status !== 201) throw new Error(`not created: ${answer.status} ${answer.body}`)
  return new URL(answer.headers.location ?? '', endpoint).href
}

export function head(upload: string): Promise<KeptAnswer> {
  return send(upload, { method: 'HEAD' })
}

export async function offsetOf(upload: string): Promise<number> {
  return Number((await head(upload)).headers['upload-offset'])
}

export function patch(upload: string, offset: number, body: Uint8Array): Promise<KeptAnswer> {
  const headers = { 'Upload-Offset': String(offset), 'Content-Type': 'application/offset+octet-stream' }
  return send(upload, { method: 'PATCH', headers, body })
}

/** SHA-256 of what GET gives. */
export async function digestAt(
  upload: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { response, bytes } = await ask(upload, { headers })
  if (response.statusCode !== 200) throw new Error(`GET answered ${response.statusCode}`)
  return sha256(bytes)
}
