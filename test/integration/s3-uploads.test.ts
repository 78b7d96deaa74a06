import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { headersOf } from '../../src/open-objects.js'
import { assemble } from '../../src/upload/assemble.js'
import { create, createWithBody } from '../../src/upload/create.js'
import type { Engine } from '../../src/upload/engine.js'
import { sweep } from '../../src/upload/sweep.js'
import { terminate } from '../../src/upload/terminate.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { PostgresSegments } from '../../stores/postgres/segments.js'
import type { S3ByteStore } from '../../stores/s3/byte-store.js'
import { s3Client } from '../../stores/s3/client.js'
import { append, download, draft, engineOf, finalOf, stored } from '../support/engine-on-disk.js'
import { type TestSchema, testSchema } from '../support/postgres.js'
import { lackOfS3, type S3Server, startS3 } from '../support/s3-server.js'
import { openS3Store } from '../support/s3-store.js'
import { PatternSource, pattern, slices } from '../support/sources.js'

const MIB = 1024 * 1024

let server: S3Server
let schema: TestSchema
let postgres: OpenPostgres
let client: S3Client
let store: S3ByteStore
let engine: Engine
let prefix: string

beforeEach(async ({ skip }) => {
  const lack = await lackOfS3()
  if (lack !== null) skip(lack)
  server = await startS3()
  schema = testSchema()
  postgres = await schema.open()
  client = s3Client({ endpoint: server.endpoint, region: null })
  prefix = `u-${randomUUID().slice(0, 8)}/`
  store = await openS3Store(server, postgres, { prefix, headersOf })
  engine = engineOf(postgres.registry, store)
})

afterEach(async () => {
  store?.close()
  client?.destroy()
  await schema?.drop()
  await server?.stop()
})

async function keys(under = prefix): Promise<readonly string[]> {
  const { Contents = [] } = await client.send(
    new ListObjectsV2Command({ Bucket: server.bucket, Prefix: under }),
  )
  return Contents.flatMap(({ Key }) => Key ?? [])
}

/** How the keys of this deployment begin. */
async function ours(): Promise<string> {
  const [row] = await schema.run<{ id: string }>('select id from $s.deployment')
  return `${prefix}${row?.id}/`
}

async function uploadsUnderWay(): Promise<number> {
  const { Uploads = [] } = await client.send(
    new ListMultipartUploadsCommand({ Bucket: server.bucket, Prefix: prefix }),
  )
  return Uploads.length
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
const NAMED = {
  filename: 'Urlaub in Köln.mp4',
  metadata: `filename ${base64('Urlaub in Köln.mp4')},filetype ${base64('video/mp4')}`,
}

test('an object has the type and the name of its upload, be it put at once, in parts, or assembled', async () => {
  const small = await stored(engine, pattern(100), NAMED)
  const large = await stored(engine, pattern(12 * MIB), NAMED)
  const first = await createWithBody(engine, draft({ length: 4, ...NAMED }), {
    source: Readable.from([Buffer.from('four')]),
    announced: 4,
    expected: null,
    signal: new AbortController().signal,
  })
  const parts = [
    await stored(engine, pattern(9 * MIB), { kind: 'partial' }),
    await stored(engine, pattern(5), { kind: 'partial' }),
  ]
  const final = await postgres.registry.concatenate({ ...finalOf(parts.map(({ id }) => id)), ...NAMED })
  await assemble(engine, final.upload.id)
  for (const { id } of [small, large, first, final.upload]) {
    const [extent, ...more] = (await postgres.registry.extents(id, null)) ?? []
    expect(more).toEqual([])
    const [key = '', ...others] = (await keys()).filter((each) => each.includes(`/${extent?.blob.id}/`))
    expect(others).toEqual([])
    const head = await client.send(new HeadObjectCommand({ Bucket: server.bucket, Key: key }))
    expect(head.ContentType).toBe('video/mp4')
    expect(head.Metadata).toEqual({ tus: NAMED.metadata })
    expect(head.ContentDisposition).toBe(
      `attachment; filename="Urlaub in K_ln.mp4"; filename*=UTF-8''Urlaub%20in%20K%C3%B6ln.mp4`,
    )
  }
})

test('assembling leaves one object, and ending an upload none', async () => {
  const contents = [pattern(11 * MIB + 5, 1), pattern(3, 2), pattern(8 * MIB, 3)]
  const parts = []
  for (const content of contents) parts.push(await stored(engine, content, { kind: 'partial' }))
  const final = await postgres.registry.concatenate(finalOf(parts.map(({ id }) => id)))
  const whole = Buffer.concat(contents)
  expect((await download(engine, final.upload.id)).equals(whole)).toBe(true)
  await assemble(engine, final.upload.id)
  expect(await keys()).toHaveLength(1)
  expect((await download(engine, final.upload.id)).equals(whole)).toBe(true)
  expect((await download(engine, parts[0]?.id ?? '')).equals(contents[0] as Buffer)).toBe(true)
  for (const { id } of [...parts, final.upload]) await terminate(engine, id, null)
  expect(await keys()).toEqual([])
  expect(await uploadsUnderWay()).toBe(0)
})

test('what expires goes, with multipart uploads under way, and nothing that is not ours', async () => {
  const foreign = [`other/${randomUUID()}`, `${prefix}notes.txt`]
  for (const Key of foreign)
    await client.send(new PutObjectCommand({ Bucket: server.bucket, Key, Body: 'not ours' }))
  await client.send(new CreateMultipartUploadCommand({ Bucket: server.bucket, Key: 'other/under-way' }))
  const upload = await create(engine, draft({ length: 50 * MIB }))
  await append(engine, upload.id, 0, [pattern(7 * MIB)])
  await append(engine, upload.id, 7 * MIB, [pattern(100)])
  expect((await keys()).length).toBeGreaterThan(1)
  await schema.run(`update $s.uploads set expires_at = now() - interval '1 second'`)
  await sweep(engine)
  expect(await keys()).toEqual([`${prefix}notes.txt`])
  expect(await keys('other/')).toEqual([foreign[0]])
  expect(await uploadsUnderWay()).toBe(0)
})

test('a dead epoch leaves nothing without a row, and what it left open becomes an object', async () => {
  const { epoch } = postgres.registry
  const upload = await create(engine, draft({ length: 50 * MIB }))
  const blobId = randomUUID()
  const stray = `${await ours()}${epoch}/${blobId}/${randomUUID()}`
  await client.send(new PutObjectCommand({ Bucket: server.bucket, Key: stray, Body: 'no row' }))
  await client.send(
    new CreateMultipartUploadCommand({ Bucket: server.bucket, Key: `${stray.slice(0, -36)}${randomUUID()}` }),
  )
  // Its node dies in the middle of a request: parts are recorded, and nobody ended the segment.
  const claim = await postgres.registry.claim({
    ...{ id: upload.id, owner: null, protocol: 'tus', start: 0, stop: null, declaredLength: null },
  })
  if (claim === null) throw new Error('nobody else writes here')
  const source = new PatternSource(50 * MIB)
  const stop = new AbortController()
  let recorded = 0
  const write = store.write(claim.blob, 0, source, {
    limit: 50 * MIB,
    fresh: true,
    onStored: (total) => {
      recorded = total
      // It never gets further than this.
      return new Promise(() => stop.abort())
    },
  })
  await new Promise((resolve) => stop.signal.addEventListener('abort', resolve))
  await postgres.registry.checkpoint([{ claim, stop: recorded }])
  const other = await schema.open()
  await postgres.close()
  await schema.run(`update $s.nodes set lease_until = '-infinity' where epoch = ${epoch}`)
  const second = await openS3Store(server, other, { prefix })
  const takenOver = engineOf(other.registry, second)
  await sweep(takenOver)
  expect(await keys()).not.toContain(stray)
  expect(await uploadsUnderWay()).toBe(0)
  const rest = pattern(50 * MIB).subarray(0, 50 * MIB - recorded)
  const received = await append(takenOver, upload.id, recorded, slices(rest))
  expect(received.completed).toBe(true)
  const content = await download(takenOver, upload.id)
  expect(content.length).toBe(50 * MIB)
  expect(content.subarray(recorded).equals(rest)).toBe(true)
  second.close()
  void write
})

test('an object whose row comes after its epoch was swept is no promise', async () => {
  const upload = await create(engine, draft({ length: 2000 }))
  const other = await schema.open()
  const sweeper = await openS3Store(server, other, { prefix })
  // The object is there; then the process is frozen for longer than its lease, and another node sweeps.
  const ledger = new PostgresSegments(postgres.database)
  const add = ledger.add.bind(ledger)
  ledger.add = async (segment) => {
    await schema.run(
      `update $s.nodes set lease_until = now() - interval '1 s' where epoch = ${segment.writer}`,
    )
    await sweep(engineOf(other.registry, sweeper))
    return add(segment)
  }
  const slow = await openS3Store(server, postgres, { prefix, ledger })
  await expect(
    append(engineOf(postgres.registry, slow), upload.id, 0, [pattern(1000)]),
  ).rejects.toMatchObject({
    code: 'claim_lost',
  })
  expect((await other.registry.find(upload.id, null))?.upload.offset).toBe(0)
  expect(await keys()).toEqual([])
  const { completed } = await append(engineOf(other.registry, sweeper), upload.id, 0, [pattern(2000)])
  expect(completed).toBe(true)
  expect((await download(engineOf(other.registry, sweeper), upload.id)).equals(pattern(2000))).toBe(true)
  for (const each of [slow, sweeper]) each.close()
})

test('two databases may share a bucket and a prefix', async () => {
  const upload = await stored(engine, pattern(1000))
  const foreign = testSchema()
  try {
    const dead = await foreign.open()
    const { epoch } = dead.registry
    await dead.close()
    const living = await foreign.open()
    const second = await openS3Store(server, living, { prefix })
    for (const each of [epoch, postgres.registry.epoch]) await second.sweepEpoch(each, async () => new Set())
    second.close()
  } finally {
    await foreign.drop()
  }
  expect((await download(engine, upload.id)).equals(pattern(1000))).toBe(true)
})

test('bytes that were never recorded go with what covers them, and are not missed', async () => {
  const upload = await create(engine, draft({ length: 2000 }))
  const claim = await postgres.registry.claim({
    ...{ id: upload.id, owner: null, protocol: 'tus', start: 0, stop: null, declaredLength: null },
  })
  if (claim === null) throw new Error('nobody else writes here')
  const put = (bytes: Buffer) =>
    store.write(claim.blob, 0, Readable.from([bytes]), { limit: 2000, fresh: true }).done
  await put(pattern(500, 7))
  const [covered = ''] = await keys()
  await put(pattern(2000))
  expect(await keys()).not.toContain(covered)
  // A process that died before it had removed the object: the row says that it is to go.
  await schema.run(`update $s.segments set state = 'doomed' where stop = 500`)
  expect(await store.isLost(claim.blob)).toBe(false)
  await postgres.registry.record(claim, 2000)
  expect((await download(engine, upload.id)).equals(pattern(2000))).toBe(true)
})

test('what the provider ended is begun anew, and keeps nobody from reading the rest', async () => {
  const parts = [await stored(engine, pattern(9 * MIB), { kind: 'partial' })]
  parts.push(await stored(engine, pattern(8 * MIB), { kind: 'partial' }))
  const final = await postgres.registry.concatenate(finalOf(parts.map(({ id }) => id)))
  const assembly = await postgres.registry.takeAssembly(final.upload.id)
  if (assembly === null) throw new Error('nobody else assembles')
  const key = `${await ours()}${postgres.registry.epoch}/${assembly.target.id}/${randomUUID()}`
  const begun = new CreateMultipartUploadCommand({ Bucket: server.bucket, Key: key })
  const { UploadId = '' } = await client.send(begun)
  await client.send(new AbortMultipartUploadCommand({ Bucket: server.bucket, Key: key, UploadId }))
  await new PostgresSegments(postgres.database).add({
    ...{ id: key.slice(-36), blob: assembly.target, writer: postgres.registry.epoch, start: 0, stop: null },
    ...{ uploadId: UploadId, partBytes: 8 * MIB },
  })
  await postgres.registry.abandonAssembly(assembly)
  expect(await assemble(engine, final.upload.id)).toBe(true)
  expect(await assemble(engine, final.upload.id)).toBe(true)
  expect(await keys()).toHaveLength(1)
  const whole = Buffer.concat([pattern(9 * MIB), pattern(8 * MIB)])
  expect((await download(engine, final.upload.id)).equals(whole)).toBe(true)
})

test('an upload that was written in many requests is read across its objects', async () => {
  const whole = pattern(30 * MIB + 9)
  const upload = await create(engine, draft({ length: whole.length }))
  let at = 0
  for (const length of [1, 6 * MIB, 5, 11 * MIB, whole.length]) {
    const { upload: after } = await append(engine, upload.id, at, slices(whole.subarray(at, at + length)))
    at = Math.min(whole.length, at + length)
    expect(after.offset).toBe(at)
  }
  expect((await download(engine, upload.id)).equals(whole)).toBe(true)
  // Nobody has to hear of it, nor to live on: that it waits is said with its last byte.
  expect(await assemble(engine)).toBe(true)
  expect(await keys()).toHaveLength(1)
  expect((await download(engine, upload.id)).equals(whole)).toBe(true)
})

test('a part, and what lies in one object, wait for nothing', async () => {
  await stored(engine, pattern(6 * MIB))
  const part = await create(engine, draft({ length: 20, kind: 'partial' }))
  await append(engine, part.id, 0, [pattern(10)])
  await append(engine, part.id, 10, [pattern(10)])
  expect(await assemble(engine)).toBe(false)
})
