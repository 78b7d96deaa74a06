import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Blob } from '../../src/upload/blob.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { PostgresSegments } from '../../stores/postgres/segments.js'
import type { S3ByteStore, S3ByteStoreOptions } from '../../stores/s3/byte-store.js'
import { nextTurn } from '../contract/byte-store/fixture.js'
import { Gate } from '../support/gate.js'
import { type TestSchema, testSchema } from '../support/postgres.js'
import { type S3Call, S3Proxy } from '../support/s3-proxy.js'
import { lackOfS3, type S3Server, startS3 } from '../support/s3-server.js'
import { openS3Store } from '../support/s3-store.js'
import { collect, HandSource, pattern, slices } from '../support/sources.js'

/** A provider that takes requests and does not answer them: whom that may hold up, and for how long. */

const MIB = 1024 * 1024
const silent = new Promise<never>(() => undefined)
/** In ms: less than the five tries of a minute each that a request has. */
const SOON = 120_000

let server: S3Server
let proxy: S3Proxy
let schema: TestSchema
let postgres: OpenPostgres
let store: S3ByteStore

beforeEach(async ({ skip }) => {
  const lack = await lackOfS3()
  if (lack !== null) skip(lack)
  server = await startS3()
  proxy = await S3Proxy.start(server.endpoint)
  schema = testSchema()
  postgres = await schema.open()
})

afterEach(async () => {
  store?.close()
  await proxy?.stop()
  await schema?.drop()
  await server?.stop()
})

async function open(options: Partial<S3ByteStoreOptions> = {}): Promise<void> {
  store = await openS3Store({ ...server, endpoint: proxy.endpoint }, postgres, options)
}

/** No call that `which` chooses is answered from here on. */
function silence(which: (call: S3Call) => boolean): void {
  proxy.delays = (call) => (which(call) ? silent : undefined)
}

test('holds up only the upload whose parts it is silent about', async () => {
  await open({ waitingBytes: 64 * MIB })
  const [stuck, others] = [newBlob(), [newBlob(), newBlob(), newBlob()]]
  silence(({ operation, key }) => operation === 'UploadPart' && key.includes(stuck.id))
  const stop = new AbortController()
  const source = Readable.from(slices(pattern(80 * MIB)))
  const write = store.write(stuck, 0, source, { limit: 80 * MIB, fresh: true, signal: stop.signal })
  await expect.poll(() => proxy.of('UploadPart').length).toBe(4)
  const content = pattern(30 * MIB)
  const written = Promise.all(others.map((blob) => put(blob, content)))
  expect(await soon(written)).toEqual(others.map(() => ({ stored: content.length, ended: 'end' })))
  for (const blob of others) expect((await read(blob, content.length)).equals(content)).toBe(true)
  stop.abort()
  expect(await write.done).toEqual({ stored: 0, ended: 'aborted' })
})

test('holds up no other upload while one is made an object of', async () => {
  await open({ waitingBytes: 9 * MIB })
  const [stuck, other] = [newBlob(), newBlob()]
  silence(({ operation, key }) => operation === 'CompleteMultipartUpload' && key.includes(stuck.id))
  const [one, two] = [new HandSource(), new HandSource()]
  const stop = new AbortController()
  const options = { limit: 80 * MIB, fresh: true }
  const first = store.write(stuck, 0, one, { ...options, signal: stop.signal })
  const second = store.write(other, 0, two, options)
  one.push(pattern(6 * MIB))
  await expect.poll(() => proxy.of('UploadPart')[0]?.status).toBe(200)
  // Memory is full, and the fullest is asked to end its segment: it does, and comes to be completed.
  two.push(pattern(4 * MIB))
  one.push(pattern(4 * MIB))
  await expect.poll(() => proxy.of('CompleteMultipartUpload').length).toBe(1)
  // Again it is the fullest, and can do nothing about it.
  one.push(pattern(5 * MIB))
  await nextTurn()
  two.push(pattern(MIB / 2))
  await nextTurn()
  two.push(pattern(1.5 * MIB))
  two.end()
  expect(await soon(second.done)).toEqual({ stored: 6 * MIB, ended: 'end' })
  stop.abort()
  await first.done
})

test('uploads that fill the memory before they may begin go on when they may', async () => {
  const ledger = new PostgresSegments(postgres.database)
  const begun = new Gate()
  ledger.has = async () => {
    await begun.opened
    return true
  }
  await open({ waitingBytes: 10 * MIB, ledger })
  const sources = [new HandSource(), new HandSource()]
  const writes = sources.map((source) => store.write(newBlob(), 0, source, { limit: 80 * MIB, fresh: false }))
  for (const source of sources) source.push(pattern(5 * MIB))
  await expect.poll(() => sources.some((source) => source.isPaused())).toBe(true)
  begun.open()
  for (const source of sources) {
    source.push(pattern(MIB))
    source.end()
  }
  const done = Promise.all(writes.map((write) => write.done))
  expect(await soon(done)).toEqual(writes.map(() => ({ stored: 6 * MIB, ended: 'end' })))
})

/** After all parts are confirmed; `complete` is how often completing is refused. */
const ENDS = [
  { silence: 'HeadObject', after: 'CompleteMultipartUpload', complete: 0 },
  { silence: 'HeadObject', after: 'a refused CompleteMultipartUpload', complete: 1 },
  { silence: 'ListParts', after: 'a refused CompleteMultipartUpload', complete: 1 },
]

test.each(ENDS)('at $silence after $after, nobody who wants the upload waits for it', async (end) => {
  await open()
  let refused = 0
  proxy.quirks = [
    ({ operation }) =>
      operation === 'CompleteMultipartUpload' && refused++ < end.complete
        ? { status: 400, code: 'InvalidPart' }
        : undefined,
  ]
  silence(({ operation }) => operation === end.silence)
  const [blob, content, wanted] = [newBlob(), pattern(12 * MIB), new AbortController()]
  const done = put(blob, content, wanted.signal)
  await expect.poll(() => proxy.of(end.silence).length).toBe(1)
  wanted.abort()
  expect(await soon(done)).toEqual({ stored: content.length, ended: 'aborted' })
  silence(() => false)
  expect((await read(blob, content.length)).equals(content)).toBe(true)
})

test('nobody who wants the upload waits until what it covers is removed', async () => {
  await open()
  const [blob, wanted] = [newBlob(), new AbortController()]
  await put(blob, pattern(500))
  silence(({ operation }) => operation === 'DeleteObject')
  const done = put(blob, pattern(2000), wanted.signal)
  await expect.poll(() => proxy.of('DeleteObject').length).toBeGreaterThan(1)
  wanted.abort()
  expect(await soon(done)).toMatchObject({ stored: 2000 })
  // The row says that it is to go.
  expect(await schema.run(`select stop from $s.segments where state = 'doomed'`)).toHaveLength(1)
})

test('a part that is refused ends the write, though others are not answered', async () => {
  await open({ waitingBytes: 64 * MIB })
  proxy.quirks = [
    ({ query }) => (query.get('partNumber') === '3' ? { status: 403, code: 'AccessDenied' } : undefined),
  ]
  silence(({ query }) => query.get('partNumber') === '2')
  const [blob, content] = [newBlob(), pattern(35 * MIB)]
  const result = await soon(put(blob, content))
  expect(result).toMatchObject({ ended: 'failed', error: { code: 'storage_failed' } })
  silence(() => false)
  const { stored } = result as { stored: number }
  expect(stored).toBe(10 * MIB)
  expect((await read(blob, stored)).equals(content.subarray(0, stored))).toBe(true)
})

function soon<T>(result: Promise<T>): Promise<T | 'not yet'> {
  return Promise.race([result, sleep(SOON, 'not yet' as const, { ref: false })])
}

function put(blob: Blob, content: Buffer, signal?: AbortSignal) {
  const options = { limit: content.length, fresh: true, ...(signal && { signal }) }
  return store.write(blob, 0, Readable.from(slices(content)), options).done
}

function read(blob: Blob, length: number): Promise<Buffer> {
  return collect(store.read(blob, 0, length))
}

function newBlob(): Blob {
  return { id: randomUUID(), epoch: postgres.registry.epoch }
}
