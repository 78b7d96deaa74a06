import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Blob, Extent } from '../../src/upload/blob.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import type { S3ByteStore } from '../../stores/s3/byte-store.js'
import { type TestSchema, testSchema } from '../support/postgres.js'
import { S3Proxy } from '../support/s3-proxy.js'
import { lackOfS3, type S3Server, startS3 } from '../support/s3-server.js'
import { openS3Store } from '../support/s3-store.js'
import { collect, pattern } from '../support/sources.js'

const MIB = 1024 * 1024
/** Of an object of less than 80 GB (stores/s3/part-grid.ts). */
const PART = 8 * MIB

let server: S3Server
let schema: TestSchema
let postgres: OpenPostgres
let proxy: S3Proxy
let store: S3ByteStore

beforeAll(async () => {
  server = await startS3()
  schema = testSchema()
  postgres = await schema.open()
})

afterAll(async () => {
  await schema?.drop()
  await server?.stop()
})

beforeEach(async ({ skip }) => {
  const lack = await lackOfS3()
  if (lack !== null) skip(lack)
  proxy = await S3Proxy.start(server.endpoint)
  store = await openS3Store({ ...server, endpoint: proxy.endpoint }, postgres)
})

afterEach(async () => {
  store?.close()
  await proxy?.stop()
})

describe('assembling', () => {
  test('reads no byte where extents end on the grid', async () => {
    const { extents, whole } = await content([2 * PART, PART, 3 * PART])
    const target = newBlob()
    const before = bodies()
    expect(await assemble(target, extents)).toBe('done')
    expect(bodies() - before).toBe(0)
    expect(proxy.of('UploadPartCopy')).toHaveLength(6)
    expect((await collect(store.read(target, 0, whole.length))).equals(whole)).toBe(true)
  })

  test('reads only the parts that span two extents', async () => {
    const { extents, whole } = await content([2 * PART + 5, PART - 9, 3 * PART + 1])
    const target = newBlob()
    const before = bodies()
    expect(await assemble(target, extents)).toBe('done')
    // Each of the two edges lies in one part, which is read and sent.
    expect(bodies() - before).toBeLessThanOrEqual(2 * 2 * PART)
    expect((await collect(store.read(target, 0, whole.length))).equals(whole)).toBe(true)
  })

  test('goes on with the parts that another made', async () => {
    const { extents, whole } = await content([5 * PART, 3 * PART])
    const target = newBlob()
    let copies = 0
    proxy.quirks = [({ operation }) => (operation === 'UploadPartCopy' && ++copies > 3 ? 'cut' : undefined)]
    await expect(assemble(target, extents)).rejects.toMatchObject({ code: 'storage_failed' })
    proxy.quirks = []
    const made = proxy.of('UploadPartCopy').filter(({ status }) => status === 200).length
    const other = await openS3Store({ ...server, endpoint: proxy.endpoint }, postgres, {
      prefix: prefixOf(proxy),
    })
    const outcome = await other.assemble(target, extents, {
      copied: 0,
      fresh: true,
      onCopied: async () => true,
    })
    expect(outcome).toBe('done')
    expect(proxy.of('UploadPartCopy').filter(({ status }) => status === 200)).toHaveLength(8)
    expect(made).toBeGreaterThan(0)
    expect((await collect(other.read(target, 0, whole.length))).equals(whole)).toBe(true)
    other.close()
  })

  test('whose end fails is ended by the next try, without another copy', async () => {
    const { extents, whole } = await content([2 * PART, 3 * PART])
    const target = newBlob()
    proxy.quirks = [({ operation }) => (operation === 'CompleteMultipartUpload' ? 'cut' : undefined)]
    await expect(assemble(target, extents)).rejects.toMatchObject({ code: 'storage_failed' })
    proxy.quirks = []
    expect(await assemble(target, extents)).toBe('done')
    expect(proxy.of('UploadPartCopy')).toHaveLength(5)
    expect(proxy.of('CreateMultipartUpload').filter(({ key }) => key.includes(target.id))).toHaveLength(1)
    const rows = await schema.run(`select state from $s.segments where blob_id = '${target.id}'`)
    expect(rows).toEqual([{ state: 'sealed' }])
    expect((await collect(store.read(target, 0, whole.length))).equals(whole)).toBe(true)
  })

  test('makes as many parts as a provider has, and larger ones', async () => {
    const few = await openS3Store({ ...server, endpoint: proxy.endpoint }, postgres, {
      maxParts: 2,
      prefix: prefixOf(proxy),
    })
    const { extents, whole } = await content([2 * PART, 2 * PART])
    const target = newBlob()
    await few.assemble(target, extents, { copied: 0, fresh: true, onCopied: async () => true })
    expect(proxy.of('UploadPartCopy')).toHaveLength(2)
    expect((await collect(few.read(target, 0, whole.length))).equals(whole)).toBe(true)
    few.close()
  })
})

/** Bytes of content that went through this process since the proxy began, either way. XML is short. */
function bodies(): number {
  const large = proxy.calls.filter(({ operation }) =>
    ['UploadPart', 'PutObject', 'GetObject'].includes(operation),
  )
  return large.reduce((sum, { sent, received }) => sum + sent + received, 0)
}

function prefixOf({ calls }: S3Proxy): string {
  return `${calls[0]?.key.split('/')[0]}/`
}

function assemble(target: Blob, extents: readonly Extent[]): Promise<'done' | 'stopped'> {
  return store.assemble(target, extents, { copied: 0, fresh: true, onCopied: async () => true })
}

async function content(sizes: readonly number[]): Promise<{ extents: Extent[]; whole: Buffer }> {
  const extents: Extent[] = []
  const contents: Buffer[] = []
  let start = 0
  for (const [index, size] of sizes.entries()) {
    const bytes = pattern(size, index)
    const blob = newBlob()
    await store.write(blob, 0, Readable.from([bytes]), { limit: size, fresh: true }).done
    extents.push({ start, stop: start + size, blob, blobOffset: 0 })
    contents.push(bytes)
    start += size
  }
  return { extents, whole: Buffer.concat(contents) }
}

function newBlob(): Blob {
  return { id: randomUUID(), epoch: postgres.registry.epoch }
}
