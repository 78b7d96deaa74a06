import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import type { Engine } from '../../src/upload/engine.js'
import { HashThreadLost } from '../../src/upload/hash-threads.js'
import type { ExpectedDigest } from '../../src/upload/receive.js'
import { receive } from '../../src/upload/receive.js'
import { diskStore, download, draft, engineOf } from '../support/engine-on-disk.js'
import { MemoryDatabase } from '../support/memory-registry.js'

const LENGTH = 5 * 1024 * 1024 + 17
const CONTENT = randomBytes(LENGTH)

async function stage(): Promise<{ engine: Engine; directory: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'body-digests-'))
  const bytes = diskStore(directory)
  await bytes.open()
  const engine = engineOf(new MemoryDatabase().node(), bytes)
  onTestFinished(async () => {
    await engine.digests.close()
    await rm(directory, { recursive: true })
  })
  return { engine, directory }
}

const sha256 = (bytes: Buffer) =>
  ({ algorithm: 'sha256', bytes: createHash('sha256').update(bytes).digest() }) as const

/** The second half of an upload whose first half is there, so that the body begins in the middle of its file. */
async function send(engine: Engine, expected: (body: Buffer) => ExpectedDigest) {
  const upload = await engine.registry.create(draft({ length: 3 + LENGTH }))
  const part = (start: number, body: Buffer, digest: ExpectedDigest | null) =>
    receive(engine, {
      id: upload.id,
      owner: null,
      protocol: 'tus',
      start,
      declaredLength: null,
      source: Readable.from(pieces(body), { objectMode: false }),
      announced: body.length,
      expected: digest,
      maxSize: null,
      signal: new AbortController().signal,
    })
  await part(0, Buffer.from('abc'), null)
  return { id: upload.id, received: part(3, CONTENT, expected(CONTENT)) }
}

function* pieces(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length; at += 65_000) yield body.subarray(at, at + 65_000)
}

const other = sha256(Buffer.from('other'))

test('the digest of a long body fits, whatever came before it in the file', async () => {
  const { engine } = await stage()
  const { id, received } = await send(engine, (body) => ({ before: sha256(body) }))
  expect(await received).toMatchObject({ completed: true, stored: LENGTH })
  expect((await download(engine, id)).subarray(3).equals(CONTENT)).toBe(true)
})

test('the digest of a long body fits when it comes after it', async () => {
  const { engine } = await stage()
  const { received } = await send(engine, (body) => ({ after: () => sha256(body) }))
  expect(await received).toMatchObject({ completed: true })
})

test.each([
  ['before', { before: other }],
  ['after', { after: () => other }],
])('a long body whose digest, told %s, does not fit is not kept', async (_, expected) => {
  const { engine } = await stage()
  const { id, received } = await send(engine, () => expected)
  await expect(received).rejects.toMatchObject({ code: 'checksum_mismatch' })
  expect((await engine.registry.find(id, null))?.upload.offset).toBe(3)
})

test('a thread that ends costs time, not the upload', async () => {
  const { engine } = await stage()
  const lost = {
    open: () => ({
      update: () => Promise.reject(new HashThreadLost()),
      updateFrom: () => Promise.reject(new HashThreadLost()),
      digest: () => Promise.reject(new HashThreadLost()),
      close: () => undefined,
    }),
  }
  const { received } = await send({ ...engine, threads: lost }, (body) => ({ before: sha256(body) }))
  expect(await received).toMatchObject({ completed: true })
})

test('where no thread is to be had the body is hashed without one', async () => {
  const { engine } = await stage()
  const none = {
    open: () => {
      throw new Error('no room for another thread')
    },
  }
  const { received } = await send({ ...engine, threads: none }, (body) => ({ before: sha256(body) }))
  expect(await received).toMatchObject({ completed: true })
})

test('bytes that cannot be read back are not taken for right', async () => {
  const { engine } = await stage()
  const short = {
    open: () => ({
      update: () => Promise.resolve(),
      updateFrom: () => Promise.resolve({ hashed: 0, ended: 'short' as const }),
      digest: () => Promise.resolve(other),
      close: () => undefined,
    }),
  }
  const { id, received } = await send({ ...engine, threads: short }, () => ({ before: other }))
  await expect(received).rejects.toMatchObject({ code: 'storage_failed' })
  expect((await engine.registry.find(id, null))?.upload.offset).toBe(3)
})
