import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Blob, Extent } from '../../src/upload/blob.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { S3Bucket } from '../../stores/s3/bucket.js'
import type { S3ByteStore } from '../../stores/s3/byte-store.js'
import { bytesOf } from '../../stores/s3/bytes.js'
import { s3Client } from '../../stores/s3/client.js'
import { type TestSchema, testSchema } from '../support/postgres.js'
import { type Quirk, S3Proxy } from '../support/s3-proxy.js'
import {
  equalParts,
  failedSuccess,
  mostParts,
  noChecksums,
  noCopies,
  slowDown,
} from '../support/s3-quirks.js'
import { lackOfS3, type S3Server, startS3 } from '../support/s3-server.js'
import { openS3Store } from '../support/s3-store.js'
import { collect, HandSource, pattern, slices } from '../support/sources.js'

const MIB = 1024 * 1024

let server: S3Server
let schema: TestSchema
let postgres: OpenPostgres

beforeAll(async () => {
  server = await startS3()
  schema = testSchema()
  postgres = await schema.open()
})

afterAll(async () => {
  await schema?.drop()
  await server?.stop()
})

interface Provider {
  readonly quirks: readonly Quirk[]
  readonly renames?: Readonly<Record<string, string>>
  readonly maxParts?: number
}

/** LANDSCAPE 3.3, each imposed on the real server by a proxy. */
const PROVIDERS: Readonly<Record<string, () => Provider>> = {
  'as it is': () => ({ quirks: [] }),
  'that wants equal parts, copied ones too': () => ({ quirks: [equalParts()] }),
  'that takes neither checksums nor trailers': () => ({ quirks: [noChecksums] }),
  'with few parts': () => ({ quirks: [mostParts(3)], maxParts: 3 }),
  'without UploadPartCopy': () => ({ quirks: [noCopies] }),
  'that says NoSuchKey for NoSuchUpload': () => ({
    // The second try to complete meets an upload that is gone.
    quirks: [failedSuccess(3, true)],
    renames: { NoSuchUpload: 'NoSuchKey' },
  }),
  'that asks to slow down': () => ({ quirks: [slowDown(7)] }),
  'that completes with an error under a success': () => ({ quirks: [failedSuccess(2, false)] }),
  'that completes, and says that it failed': () => ({ quirks: [failedSuccess(2, true)] }),
}

describe.each(Object.entries(PROVIDERS))('a provider %s', (_name, make) => {
  test('takes uploads, joins them and gives them back', async () => {
    const { quirks, renames = {}, maxParts } = make()
    const proxy = await S3Proxy.start(server.endpoint)
    Object.assign(proxy, { quirks, renames })
    const store = await openS3Store({ ...server, endpoint: proxy.endpoint }, postgres, {
      ...(maxParts !== undefined && { maxParts }),
    })
    try {
      await tour(store)
    } finally {
      store.close()
      await proxy.stop()
    }
  })
})

test('a provider that asks for patience for seconds gets it', async () => {
  let refused = 0
  const proxy = await S3Proxy.start(server.endpoint)
  const store = await openS3Store({ ...server, endpoint: proxy.endpoint }, postgres)
  proxy.quirks = [
    ({ operation }) =>
      operation === 'PutObject' && ++refused <= 6 ? { status: 503, code: 'SlowDown' } : undefined,
  ]
  try {
    await put(store, pattern(1000))
    expect(refused).toBe(7)
  } finally {
    store.close()
    await proxy.stop()
  }
})

test('bytes of a request that failed are known for it, so that their memory is not used again', async ({
  skip,
}) => {
  const lack = await lackOfS3()
  if (lack !== null) skip(lack)
  const proxy = await S3Proxy.start(server.endpoint)
  const client = s3Client({ endpoint: proxy.endpoint, region: null })
  const bucket = new S3Bucket(client, server.bucket)
  const key = `failing-${randomUUID()}`
  const [checked, other] = [await bucket.begin(key, {}, true), await bucket.begin(key, {}, false)]
  let failures = 0
  const body = { ...bytesOf([pattern(1000)]), failed: () => ++failures }
  proxy.quirks = [slowDown(2)]
  try {
    await bucket.put(key, body, {})
    await bucket.put(key, body, {})
    expect(failures).toBe(1)
    await bucket.putChecked(key, checked, 1, body)
    expect(failures).toBe(2)
    await bucket.putPart(key, other, 1, body)
    expect(failures).toBe(3)
  } finally {
    proxy.quirks = []
    for (const uploadId of [checked, other]) await bucket.abort(key, uploadId)
    await bucket.remove(key)
    client.destroy()
    await proxy.stop()
  }
})

test('a part that is refused ends the write, though its client pauses', async () => {
  const proxy = await S3Proxy.start(server.endpoint)
  const store = await openS3Store({ ...server, endpoint: proxy.endpoint }, postgres)
  proxy.quirks = [
    ({ operation }) => (operation === 'UploadPart' ? { status: 403, code: 'AccessDenied' } : undefined),
  ]
  const source = new HandSource()
  try {
    const write = store.write(newBlob(), 0, source, { limit: 24 * MIB, fresh: true })
    source.push(pattern(6 * MIB))
    expect(await write.done).toMatchObject({ stored: 0, ended: 'failed', error: { code: 'storage_failed' } })
  } finally {
    store.close()
    await proxy.stop()
  }
})

test('a provider that does not answer holds up nobody who wants to go on with the upload', async () => {
  const proxy = await S3Proxy.start(server.endpoint)
  const store = await openS3Store({ ...server, endpoint: proxy.endpoint }, postgres)
  const silent = new Promise<never>(() => undefined)
  proxy.delays = ({ operation, query }) =>
    operation === 'UploadPart' && query.get('partNumber') !== '1' ? silent : undefined
  const wanted = new AbortController()
  const content = pattern(24 * MIB)
  const blob = newBlob()
  try {
    let confirmed = 0
    const write = store.write(blob, 0, Readable.from(slices(content)), {
      limit: content.length,
      fresh: true,
      signal: wanted.signal,
      onStored: (stored) => {
        confirmed = stored
      },
    })
    await expect.poll(() => confirmed).toBeGreaterThan(0)
    wanted.abort()
    // Not after the minute that a request may be quiet.
    const late = sleep(45_000, 'not yet', { ref: false })
    expect(await Promise.race([write.done, late])).toEqual({ stored: confirmed, ended: 'aborted' })
    proxy.delays = () => undefined
    // What was confirmed is there for whoever goes on.
    const read = await collect(store.read(blob, 0, confirmed))
    expect(read.equals(content.subarray(0, confirmed))).toBe(true)
  } finally {
    store.close()
    await proxy.stop()
  }
})

/** Sizes on the grid, off it, and smaller than a part may be. */
const SIZES = [16 * MIB, 11 * MIB + 7, 3, 9 * MIB]

async function tour(store: S3ByteStore): Promise<void> {
  const extents: Extent[] = []
  const contents: Buffer[] = []
  let start = 0
  for (const [index, size] of SIZES.entries()) {
    const content = pattern(size, index)
    const blob = await put(store, content)
    expect((await collect(store.read(blob, 0, size))).equals(content)).toBe(true)
    extents.push({ start, stop: start + size, blob, blobOffset: 0 })
    contents.push(content)
    start += size
  }
  const target = newBlob()
  const outcome = await store.assemble(target, extents, {
    copied: 0,
    fresh: true,
    onCopied: async () => true,
  })
  expect(outcome).toBe('done')
  const whole = Buffer.concat(contents)
  expect((await collect(store.read(target, 0, whole.length))).equals(whole)).toBe(true)
  for (const { blob } of extents) await store.remove(blob)
  await store.remove(target)
  await expect(collect(store.read(target, 0, 1))).rejects.toMatchObject({ code: 'blob_gone' })
}

async function put(store: S3ByteStore, content: Buffer): Promise<Blob> {
  const blob = newBlob()
  const source = Readable.from(slices(content))
  const result = await store.write(blob, 0, source, { limit: content.length, fresh: true }).done
  expect(result).toEqual({ stored: content.length, ended: 'end' })
  return blob
}

function newBlob(): Blob {
  return { id: randomUUID(), epoch: postgres.registry.epoch }
}
