// Uploads a file in chunks, several at a time. Started again after it was stopped, in whatever way, it goes on.
//
//   node upload-chunks.ts [--url http://127.0.0.1:1080/upload/] [--token TOKEN] [--chunk-size 8MiB]
//                         [--parallel 4] [--algorithm md5] FILE
//
// Node 22.18 or newer runs it as it is; for Node 20, in a clone: npx tsc -p examples, then node examples/dist/upload-chunks.js.
// FILE.upload remembers the upload until it is finished; a file that was changed meanwhile is uploaded anew. Prints the
// id of the upload; progress goes to stderr, on a terminal as a bar.
// Exit status: 0 uploaded, 1 failed, 2 wrong usage, 130 interrupted. After 1 and 130 the same command goes on.

import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import { basename } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual, parseArgs } from 'node:util'

/** Names of the server, and of Node. */
const ALGORITHMS: Readonly<Record<string, string>> = {
  ...{ md5: 'md5', sha1: 'sha1', sha224: 'sha224', sha256: 'sha256', sha384: 'sha384', sha512: 'sha512' },
  ...{ sha3_224: 'sha3-224', sha3_256: 'sha3-256', sha3_384: 'sha3-384', sha3_512: 'sha3-512' },
  ...{ blake2b: 'blake2b512', blake2s: 'blake2s256' },
}
const BOUNDARY = randomUUID()
/** Between two tries, in ms; together about two minutes, so that a server that restarts is waited for. */
const WAITS = [250, 500, 1000, 2000, 4000, 8000, 15_000, 30_000, 30_000, 30_000]
/** Worth another try, besides 5xx: too slow, held by another request, too many requests. */
const PASSING = [408, 423, 429]
/** Longest silence of a connection, in ms. A server that is still hashing is asked again and goes on with it. */
const SILENCE_MS = 120_000
const REDRAW_MS = 100
const CLEAR_LINE = '\r\x1b[K'

/** From start on, up to but without stop. */
interface Range {
  readonly start: number
  readonly stop: number
}

interface Detail {
  readonly status: 'in_progress' | 'complete' | 'expired'
  readonly chunks: readonly { readonly start: number; readonly end: number }[]
}

interface Answer {
  readonly status: number
  readonly body: unknown
}

interface Content {
  readonly headers: http.OutgoingHttpHeaders
  /** The body from its beginning, for each try. */
  open(): Readable
}

/** Trying again does not help. */
class Failure extends Error {}

/** The server does not know the upload, or not any more. */
class Gone extends Failure {}

/** Requests, repeated as long as they fail in passing. */
class Server {
  readonly #url: URL
  readonly #protocol: typeof http | typeof https
  readonly #agent: http.Agent
  readonly #headers: http.OutgoingHttpHeaders

  constructor({ url, token, parallel }: Options) {
    this.#url = new URL(url)
    this.#protocol = this.#url.protocol === 'https:' ? https : http
    this.#agent = new this.#protocol.Agent({ keepAlive: true, maxSockets: parallel })
    this.#headers = token === undefined ? {} : { Authorization: `Token ${token}` }
  }

  async start(filename: string, size: number): Promise<string> {
    // The size as text: the number 0 would count as no size.
    const answer = await this.#ask('POST', '', fields({ filename, total_size: String(size) }))
    return (accepted(answer) as { upload_id: string }).upload_id
  }

  async detail(upload: string): Promise<Detail> {
    return accepted(await this.#ask('GET', `${upload}/`)) as Detail
  }

  /** False: the range does not fit what is there. The list of chunks says what is still missing. */
  async put(upload: string, chunk: Content): Promise<boolean> {
    const answer = await this.#ask('PUT', `${upload}/`, chunk)
    if (answer.status === 409) return false
    accepted(answer)
    return true
  }

  /** False: the checksum does not fit. */
  async finalize(upload: string, checksum: string, algorithm: string): Promise<boolean> {
    const answer = await this.#ask('POST', `${upload}/`, fields({ checksum, checksum_algo: algorithm }))
    if (answer.status === 400 && wordsOf(answer) === 'Checksum mismatch') return false
    accepted(answer)
    return true
  }

  async #ask(method: string, address: string, content: Content = NOTHING): Promise<Answer> {
    for (let tries = 0; ; tries++) {
      let trouble: string
      try {
        const answer = await this.#askOnce(method, address, content)
        if (answer.status < 500 && !PASSING.includes(answer.status)) return answer
        trouble = `the server says ${answer.status}: ${wordsOf(answer)}`
      } catch (error) {
        if (error instanceof Failure) throw error
        // Where a name has several addresses, only the code says something.
        const { message, code } = error as NodeJS.ErrnoException
        trouble = `no answer from ${this.#url.host}: ${message || code}`
      }
      const wait = WAITS[tries]
      if (wait === undefined) throw new Failure(trouble)
      say(`${trouble}; trying again in ${wait / 1000} s`)
      await sleep(wait * (0.8 + 0.4 * Math.random()))
    }
  }

  #askOnce(method: string, address: string, content: Content): Promise<Answer> {
    const headers = { ...this.#headers, ...content.headers }
    const options = { method, headers, agent: this.#agent, timeout: SILENCE_MS }
    return new Promise((resolve, reject) => {
      const request = this.#protocol.request(new URL(address, this.#url), options)
      const body = content.open()
      body.on('error', (error) => request.destroy(error)).pipe(request)
      request.on('timeout', () => request.destroy(new Error(`silent for ${SILENCE_MS / 1000} s`)))
      request.on('close', () => body.destroy())
      let answered = false
      request.on('response', async (response) => {
        // Who refuses a chunk may hang up before all of it was sent: the answer counts nevertheless.
        answered = true
        await read(response).then(resolve, reject)
        if (!request.writableFinished) request.destroy()
      })
      request.on('error', (error) => {
        if (!answered) reject(error)
      })
    })
  }
}

async function read(response: http.IncomingMessage): Promise<Answer> {
  const body = await text(response)
  const isJson = response.headers['content-type']?.startsWith('application/json')
  return {
    status: response.statusCode ?? 0,
    body: isJson ? JSON.parse(body) : { detail: body.slice(0, 200) },
  }
}

function accepted(answer: Answer): unknown {
  if (answer.status < 400) return answer.body
  const isGone = answer.status === 404 || answer.status === 410
  throw new (isGone ? Gone : Failure)(`the server refuses with ${answer.status}: ${wordsOf(answer)}`)
}

function wordsOf({ body }: Answer): string {
  const { message, error, detail } = body as Record<string, unknown>
  return String(message ?? error ?? detail ?? '')
}

const NOTHING: Content = { headers: {}, open: () => Readable.from([]) }

function fields(values: Readonly<Record<string, string>>): Content {
  const body = Buffer.from(JSON.stringify(values))
  const headers = { 'Content-Type': 'application/json', 'Content-Length': body.length }
  return { headers, open: () => Readable.from([body]) }
}

/**
 * A form with a range of the file, which is read while it is sent. (FormData with a Blob of the file is shorter, but
 * keeps what it sends in memory: four chunks of 512 MiB took 2 GiB in Node 20 and 22.)
 */
function chunkOf(
  path: string,
  { start, stop }: Range,
  size: number,
  onSent: (bytes: number) => void,
): Content {
  const part = `Content-Disposition: form-data; name="file"; filename="chunk"\r\nContent-Type: application/octet-stream`
  const head = Buffer.from(`--${BOUNDARY}\r\n${part}\r\n\r\n`)
  const tail = Buffer.from(`\r\n--${BOUNDARY}--\r\n`)
  const headers = {
    'Content-Type': `multipart/form-data; boundary=${BOUNDARY}`,
    'Content-Length': head.length + stop - start + tail.length,
    'Content-Range': `bytes ${start}-${stop - 1}/${size}`,
  }
  async function* body() {
    let sent = 0
    yield head
    for await (const block of blocksOf(path, { start, stop })) {
      yield block
      sent += block.length
      onSent(sent)
    }
    yield tail
  }
  return { headers, open: () => Readable.from(body()) }
}

async function* blocksOf(path: string, { start, stop }: Range): AsyncGenerator<Buffer> {
  if (start === stop) return
  let at = start
  try {
    for await (const block of createReadStream(path, { start, end: stop - 1, highWaterMark: 256 * 1024 })) {
      at += (block as Buffer).length
      yield block as Buffer
    }
  } catch (error) {
    // Not to be taken for trouble of the network, which is tried again.
    throw new Failure(`cannot read ${path}: ${(error as Error).message}`)
  }
  if (at < stop) throw new Failure(`${path} became shorter`)
}

/** The gaps between chunks of whatever sizes, in pieces of at most so many bytes. */
function missingPieces(chunks: Detail['chunks'], size: number, most: number): Range[] {
  const pieces: Range[] = []
  let at = 0
  const ranges = chunks.map(({ start, end }) => ({ start, stop: end + 1 })).sort((a, b) => a.start - b.start)
  for (const { start, stop } of [...ranges, { start: size, stop: size }]) {
    for (; at < start; at += most) pieces.push({ start: at, stop: Math.min(at + most, start) })
    at = stop
  }
  return pieces
}

/** Which file it is that goes to which server, as FILE.upload remembers it. */
interface Identity {
  readonly url: string
  readonly size: number
  readonly mtime: string
}

async function identityOf(file: string, url: string): Promise<Identity> {
  const { size, mtimeNs } = await stat(file, { bigint: true })
  return { url, size: Number(size), mtime: String(mtimeNs) }
}

/** The upload this very file goes to; null when there is none yet. */
async function recall(file: string, identity: Identity): Promise<string | null> {
  try {
    const { upload_id, ...known } = JSON.parse(await readFile(`${file}.upload`, 'utf8'))
    return isDeepStrictEqual(known, identity) ? upload_id : null
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

async function remember(file: string, identity: Identity, upload: string): Promise<void> {
  await writeFile(`${file}.upload.new`, JSON.stringify({ ...identity, upload_id: upload }))
  await rename(`${file}.upload.new`, `${file}.upload`)
}

async function forget(file: string): Promise<void> {
  await rm(`${file}.upload`, { force: true })
}

/** How far it is: a bar on a terminal, else a line for every percent that is stored. */
class Progress {
  readonly #size: number
  readonly #began = performance.now()
  readonly #sending = new Map<number, number>()
  #before = 0
  #drawn = 0
  stored = 0

  constructor(size: number) {
    this.#size = size
  }

  /** What the server has when sending begins. */
  begin(stored: number): void {
    this.#before = stored
    this.stored = stored
  }

  send({ start }: Range, bytes: number): void {
    this.#sending.set(start, bytes)
    if (process.stderr.isTTY && performance.now() - this.#drawn > REDRAW_MS) this.#draw()
  }

  /** The range is not on its way any more; `stored`: it has arrived. */
  settle({ start, stop }: Range, stored: boolean): void {
    const percent = percentOf(this.stored, this.#size)
    this.#sending.delete(start)
    if (stored) this.stored += stop - start
    const line = `${percentOf(this.stored, this.#size)} %  ${this.stored} of ${this.#size} bytes`
    if (process.stderr.isTTY) this.#draw()
    else if (percentOf(this.stored, this.#size) !== percent) say(line)
  }

  #draw(): void {
    this.#drawn = performance.now()
    const there = [...this.#sending.values()].reduce((sum, bytes) => sum + bytes, this.stored)
    const rate = (there - this.#before) / ((this.#drawn - this.#began) / 1000)
    const bar = '#'.repeat((30 * there) / this.#size).padEnd(30)
    const numbers = `${mib(there)} of ${mib(this.#size)} MiB, ${mib(rate)} MiB/s`
    process.stderr.write(`${CLEAR_LINE}[${bar}] ${percentOf(there, this.#size)} %  ${numbers}`)
  }
}

function percentOf(bytes: number, size: number): string {
  return String(Math.floor((100 * bytes) / size)).padStart(3)
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1)
}

class Upload {
  readonly #options: Options
  readonly #identity: Identity
  readonly #server: Server
  readonly #progress: Progress
  readonly #checksum: Promise<string>

  constructor(options: Options, identity: Identity) {
    this.#options = options
    this.#identity = identity
    this.#server = new Server(options)
    this.#progress = new Progress(identity.size)
    // While chunks are sent. Whether it failed is asked when it is needed.
    this.#checksum = checksumOf(options.file, identity.size, options.algorithm)
    this.#checksum.catch(() => undefined)
  }

  async run(): Promise<string> {
    const { file } = this.#options
    const known = await recall(file, this.#identity)
    if (known !== null) {
      say(`going on with ${known}`)
      try {
        return await this.#complete(known)
      } catch (error) {
        if (!(error instanceof Gone)) throw error
        say(`${error.message} That upload is gone; starting anew`)
      }
    }
    const upload = await this.#server.start(basename(file), this.#identity.size)
    await remember(file, this.#identity, upload)
    return this.#complete(upload)
  }

  async #complete(upload: string): Promise<string> {
    const { file, url, algorithm } = this.#options
    await this.#sendMissing(upload)
    const checksum = await this.#checksum
    if (!isDeepStrictEqual(await identityOf(file, url), this.#identity)) {
      throw new Failure(`${file} was changed while it was uploaded`)
    }
    const fits = await this.#server.finalize(upload, checksum, algorithm)
    await forget(file)
    if (fits) return upload
    throw new Failure(
      'the server has other bytes than the file (Checksum mismatch); the next run starts anew',
    )
  }

  async #sendMissing(upload: string): Promise<void> {
    for (const wait of [...WAITS, 0]) {
      const { status, chunks } = await this.#server.detail(upload)
      if (status === 'expired') throw new Gone('Upload expired.')
      const pieces = missingPieces(chunks, this.#identity.size, this.#options.chunkSize)
      if (status === 'complete' || pieces.length === 0) return
      const stored = pieces.reduce((rest, { start, stop }) => rest - (stop - start), this.#identity.size)
      this.#progress.begin(stored)
      await this.#send(upload, pieces)
      // Another process may have been sending the same file, in other pieces, and may be gone.
      if (this.#progress.stored === stored) await sleep(wait)
    }
    throw new Failure('another process keeps sending other chunks of this upload')
  }

  async #send(upload: string, pieces: readonly Range[]): Promise<void> {
    const left = pieces.values()
    const sendSome = async () => {
      for (const piece of left) {
        const chunk = chunkOf(this.#options.file, piece, this.#identity.size, (bytes) =>
          this.#progress.send(piece, bytes),
        )
        this.#progress.settle(piece, await this.#server.put(upload, chunk))
      }
    }
    const ended = await Promise.allSettled(Array.from({ length: this.#options.parallel }, sendSome))
    for (const each of ended) if (each.status === 'rejected') throw each.reason
  }
}

async function checksumOf(file: string, size: number, algorithm: string): Promise<string> {
  const hash = createHash(ALGORITHMS[algorithm] ?? algorithm)
  for await (const block of blocksOf(file, { start: 0, stop: size })) hash.update(block)
  return hash.digest('hex')
}

interface Options {
  readonly file: string
  readonly url: string
  readonly token: string | undefined
  readonly chunkSize: number
  readonly parallel: number
  readonly algorithm: string
}

class WrongUsage extends Error {}

function optionsFrom(args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      url: { type: 'string', default: 'http://127.0.0.1:1080/upload/' },
      token: { type: 'string' },
      'chunk-size': { type: 'string', default: '8MiB' },
      parallel: { type: 'string', default: '4' },
      algorithm: { type: 'string', default: 'md5' },
    },
  })
  const { url, token, 'chunk-size': size, parallel, algorithm } = values
  const [file] = positionals
  const [, count, unit = ''] = /^([1-9][0-9]*)(KiB|MiB|GiB)?$/.exec(size) ?? []
  if (file === undefined || positionals.length > 1) throw new WrongUsage('one FILE is needed')
  if (!/^https?:\/\/./.test(url))
    throw new WrongUsage(`${url} is not an address such as http://127.0.0.1:1080/upload/`)
  if (count === undefined) throw new WrongUsage(`${size} is not a size such as 8MiB`)
  if (!/^[1-9][0-9]*$/.test(parallel)) throw new WrongUsage(`${parallel} is not a number from 1 on`)
  if (!(algorithm in ALGORITHMS))
    throw new WrongUsage(`${algorithm} is not one of ${Object.keys(ALGORITHMS).join(', ')}`)
  const chunkSize = Number(count) * 1024 ** ['', 'KiB', 'MiB', 'GiB'].indexOf(unit)
  return { file, url: `${url.replace(/\/+$/, '')}/`, token, chunkSize, parallel: Number(parallel), algorithm }
}

function isWrongUsage(error: unknown): boolean {
  return (
    error instanceof WrongUsage || String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
  )
}

function say(words: string): void {
  process.stderr.write(`${process.stderr.isTTY ? CLEAR_LINE : ''}${words}\n`)
}

async function main(): Promise<number> {
  try {
    const options = optionsFrom(process.argv.slice(2))
    const upload = await new Upload(options, await identityOf(options.file, options.url)).run()
    if (process.stderr.isTTY) process.stderr.write('\n')
    console.log(upload)
    return 0
  } catch (error) {
    say(`failed: ${(error as Error).message}`)
    return isWrongUsage(error) ? 2 : 1
  }
}

process.once('SIGINT', () => {
  say('interrupted; the same command goes on')
  process.exit(130)
})
process.exitCode = await main()
