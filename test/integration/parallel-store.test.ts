import { randomUUID } from 'node:crypto'
import { PassThrough, Readable } from 'node:stream'
import { Upload } from '@tus/utils'
import { describe, expect, test } from 'vitest'
import { ERROR_STATUS } from '../../src/http/errors.js'
import { UploadError } from '../../src/upload/errors.js'
import type { UploadEventName } from '../../src/upload/events.js'
import type { OpenParallelStore } from '../../stores/parallel/open.js'
import { ParallelStoreError, STOCK_STATUS } from '../../stores/parallel/stock-error.js'
import { ParallelStore } from '../../stores/parallel-store.js'
import { openStore, somewhere } from '../support/embedded-store.js'
import { seededBytes, sha256 } from '../support/seeded.js'

const HOUR = 60 * 60 * 1000

async function made(
  store: OpenParallelStore,
  facts: Partial<ConstructorParameters<typeof Upload>[0]> = {},
): Promise<Upload> {
  return store.create(new Upload({ id: 'f'.repeat(32), offset: 0, ...facts }))
}

function bytesOf(content: Buffer): Readable {
  return Readable.from([content], { objectMode: false })
}

async function digestOf(store: OpenParallelStore, id: string): Promise<string> {
  return sha256(Buffer.concat(await (await store.read(id)).toArray()))
}

/** What the promise rejects with, which must be an Error in the convention of stock handlers. */
async function refusal(work: Promise<unknown>): Promise<ParallelStoreError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ParallelStoreError)
  return error as ParallelStoreError
}

describe('ParallelStore by itself', () => {
  test('gives an upload an id of ours and returns the object it was given', async () => {
    const store = await openStore(await somewhere())
    const given = new Upload({ id: 'f'.repeat(32), offset: 0, size: 3 })
    expect(await store.create(given)).toBe(given)
    expect(given.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/)
  })

  test('keeps an id that has the form of ours', async () => {
    const store = await openStore(await somewhere())
    const id = randomUUID()
    expect((await made(store, { id, size: 3 })).id).toBe(id)
  })

  test('writes, goes on and reads', async () => {
    const store = await openStore(await somewhere())
    const content = seededBytes('writes', 300_000)
    const { id } = await made(store, { size: content.length })
    expect(await store.write(bytesOf(content.subarray(0, 100_000)), id, 0)).toBe(100_000)
    expect((await store.getUpload(id)).offset).toBe(100_000)
    expect(await store.write(bytesOf(content.subarray(100_000)), id, 100_000)).toBe(content.length)
    expect(await digestOf(store, id)).toBe(sha256(content))
  })

  test('gives metadata back as it was given', async () => {
    const store = await openStore(await somewhere())
    const metadata = { filename: 'Grüße.txt', empty: null, constructor: 'x' }
    const { id } = await made(store, { size: 3, metadata })
    expect((await store.getUpload(id)).metadata).toEqual(metadata)
  })

  test('keeps what arrived of a stream that breaks', async () => {
    const store = await openStore(await somewhere())
    const { id } = await made(store, { size: 10 })
    const source = new PassThrough()
    source.write('12345')
    const written = store.write(source, id, 0)
    await new Promise((resolve) => source.once('resume', resolve))
    source.destroy(new Error('the client left'))
    expect(await written).toBe(5)
    expect((await store.getUpload(id)).offset).toBe(5)
  })

  test('declares a length, and completes what already has it', async () => {
    const store = await openStore(await somewhere())
    const { id } = await made(store)
    expect((await store.getUpload(id)).sizeIsDeferred).toBe(true)
    await store.write(bytesOf(Buffer.from('123')), id, 0)
    const completed: string[] = []
    store.events.on('upload_completed', ({ upload }) => void completed.push(upload.id))
    await store.declareUploadLength(id, 3)
    expect(completed).toEqual([id])
    expect(await store.getUpload(id)).toMatchObject({ offset: 3, size: 3 })
    expect(await digestOf(store, id)).toBe(sha256(Buffer.from('123')))
    expect(await refusal(store.declareUploadLength(id, 5))).toMatchObject({ status_code: 400 })
    await store.declareUploadLength(id, 3)
  })

  test('a length once declared stays, and cannot be less than what is there', async () => {
    const store = await openStore(await somewhere())
    const { id } = await made(store)
    await store.write(bytesOf(Buffer.from('123')), id, 0)
    expect(await refusal(store.declareUploadLength(id, 2))).toMatchObject({ status_code: 400 })
    await store.declareUploadLength(id, 6)
    expect(await refusal(store.declareUploadLength(id, 7))).toMatchObject({ status_code: 400 })
    expect(await store.write(bytesOf(Buffer.from('456')), id, 3)).toBe(6)
  })

  test('takes an empty write at the end of a complete upload, as stock stores do, and no byte more', async () => {
    const store = await openStore(await somewhere())
    const { id } = await made(store, { size: 3 })
    await store.write(bytesOf(Buffer.from('123')), id, 0)
    expect(await store.write(Readable.from([]), id, 3)).toBe(3)
    expect(await refusal(store.write(bytesOf(Buffer.from('4')), id, 3))).toMatchObject({ status_code: 413 })
    expect(await digestOf(store, id)).toBe(sha256(Buffer.from('123')))
  })

  test('an empty upload is complete at once', async () => {
    const store = await openStore(await somewhere())
    const { id } = await made(store, { size: 0 })
    expect(await store.getUpload(id)).toMatchObject({ offset: 0, size: 0 })
    expect(await digestOf(store, id)).toBe(sha256(Buffer.alloc(0)))
  })

  test('removes', async () => {
    const store = await openStore(await somewhere())
    const { id } = await made(store, { size: 3 })
    await store.remove(id)
    expect(await refusal(store.getUpload(id))).toMatchObject({ status_code: 404, code: 'upload_not_found' })
    expect(await refusal(store.remove(id))).toMatchObject({ status_code: 404 })
  })

  test('tells what happens', async () => {
    const store = await openStore(await somewhere())
    const told: string[] = []
    const names: UploadEventName[] = [
      'upload_started',
      'chunk_received',
      'upload_completed',
      'upload_terminated',
    ]
    for (const name of names) store.events.on(name, () => void told.push(name))
    const { id } = await made(store, { size: 3 })
    await store.write(bytesOf(Buffer.from('123')), id, 0)
    await store.remove(id)
    expect(told).toEqual(names)
  })
})

describe('its errors', () => {
  test('are Errors with a cause, in the convention of stock handlers', async () => {
    const store = await openStore(await somewhere())
    const error = await refusal(store.getUpload(randomUUID()))
    expect(error.cause).toBeInstanceOf(UploadError)
    expect(error).toMatchObject({ status_code: 404, body: 'There is no upload at this address.\n' })
  })

  test('have the statuses of src/http', () => {
    const shared = Object.keys(STOCK_STATUS) as (keyof typeof STOCK_STATUS)[]
    expect(STOCK_STATUS).toEqual(Object.fromEntries(shared.map((code) => [code, ERROR_STATUS[code]])))
  })

  test('an id that has not our form is unknown', async () => {
    const store = await openStore(await somewhere())
    for (const id of ['f'.repeat(32), '../../etc/passwd', randomUUID().toUpperCase(), '']) {
      expect(await refusal(store.getUpload(id))).toMatchObject({ status_code: 404 })
      expect(await refusal(store.write(Readable.from([]), id, 0))).toMatchObject({ status_code: 404 })
      expect(await refusal(store.read(id))).toMatchObject({ status_code: 404 })
      expect(await refusal(store.remove(id))).toMatchObject({ status_code: 404 })
    }
  })

  test('an unfinished upload cannot be read', async () => {
    const store = await openStore(await somewhere())
    const { id } = await made(store, { size: 3 })
    expect(await refusal(store.read(id))).toMatchObject({ status_code: 404 })
  })

  test('a wrong offset', async () => {
    const store = await openStore(await somewhere())
    const { id } = await made(store, { size: 3 })
    expect(await refusal(store.write(bytesOf(Buffer.from('3')), id, 2))).toMatchObject({
      status_code: 409,
      code: 'offset_mismatch',
    })
  })

  test('more than may be stored', async () => {
    const store = await openStore(await somewhere(), { maxSize: 4 })
    expect(await refusal(made(store, { size: 5 }))).toMatchObject({ status_code: 413 })
    const { id } = await made(store)
    expect(await refusal(store.write(bytesOf(Buffer.from('12345')), id, 0))).toMatchObject({
      status_code: 413,
    })
    expect(await store.write(bytesOf(Buffer.from('1234')), id, 0)).toBe(4)
  })

  test('an unexpected one says nothing of our insides', async () => {
    const store = await openStore(await somewhere())
    const metadata = { filename: 'name' }
    const { id } = await made(store, { size: 3, metadata })
    // The same id again: the database refuses it in its own words.
    const error = await refusal(made(store, { id, size: 3 }))
    expect(error).toMatchObject({ status_code: 500, code: 'internal_error' })
    expect(error.body).not.toMatch(/insert|duplicate|uploads/)
  })
})

describe('two stores on one database', () => {
  test('a second writer gets the upload when the first hands it back', async () => {
    const place = await somewhere()
    const [here, there] = [await openStore(place), await openStore(place)]
    const { id } = await made(here, { size: 10 })
    const source = new PassThrough()
    source.write('12345')
    const first = refusal(here.write(source, id, 0))
    await new Promise((resolve) => source.once('resume', resolve))
    const { offset } = await there.getUpload(id)
    expect(offset).toBe(5)
    expect(await first).toMatchObject({ status_code: 423, code: 'upload_busy' })
    expect(await there.write(bytesOf(Buffer.from('67890')), id, offset)).toBe(10)
    expect(await digestOf(here, id)).toBe(sha256(Buffer.from('1234567890')))
  })

  test('closing ends a running write at a recorded offset', async () => {
    const place = await somewhere()
    const [here, there] = [await openStore(place), await openStore(place)]
    const { id } = await made(here, { size: 10 })
    const source = new PassThrough()
    source.write('12345')
    const first = refusal(here.write(source, id, 0))
    await new Promise((resolve) => source.once('resume', resolve))
    await here.close()
    expect(await first).toMatchObject({ status_code: 503, code: 'draining' })
    expect((await there.getUpload(id)).offset).toBe(5)
    await here.close()
  })
})

describe('expiration', () => {
  test('is an extension only where it is set', async () => {
    const place = await somewhere()
    const without = await openStore(place, { expiration: null })
    expect(without.hasExtension('expiration')).toBe(false)
    expect(without.getExpiration()).toBe(0)
    const store = await openStore(place, { expiration: HOUR })
    expect(store.hasExtension('expiration')).toBe(true)
    expect(store.getExpiration()).toBe(HOUR)
  })

  test('an unfinished upload looks created one expiration before it expires, a finished one has no date', async () => {
    const store = await openStore(await somewhere(), { expiration: HOUR })
    const { id } = await made(store, { size: 3 })
    const before = Date.parse((await store.getUpload(id)).creation_date ?? '')
    await store.write(bytesOf(Buffer.from('12')), id, 0)
    const after = Date.parse((await store.getUpload(id)).creation_date ?? '')
    expect(after).toBeGreaterThan(before)
    await store.write(bytesOf(Buffer.from('3')), id, 2)
    expect((await store.getUpload(id)).creation_date).toBeUndefined()
  })

  test('deleteExpired counts what it ended, and finished uploads stay', async () => {
    const place = await somewhere()
    const store = await openStore(place, { expiration: 50 })
    const finished = await made(store, { size: 3 })
    await store.write(bytesOf(Buffer.from('123')), finished.id, 0)
    const { id } = await made(store, { size: 3 })
    while ((await refusalOrNull(store.getUpload(id))) === null);
    expect(await refusal(store.getUpload(id))).toMatchObject({ status_code: 410, code: 'upload_expired' })
    expect(await store.deleteExpired()).toBe(1)
    expect(await digestOf(store, finished.id)).toBe(sha256(Buffer.from('123')))
  })
})

describe('options that cannot work', () => {
  test.for([
    { expiration: 0 },
    { expiration: -1 },
    { expiration: 0.5 },
    { maxSize: 0 },
    { maxSize: Number.NaN },
  ])('%o', async (options) => {
    await expect(openStore(await somewhere(), options)).rejects.toThrow(RangeError)
  })
})

async function refusalOrNull(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => null,
    (error: unknown) => error,
  )
}

test('while the database is away, HEAD learns that it should come again, not that the upload is lost', async () => {
  const place = await somewhere()
  const store = await openStore(place)
  const away = async () => {
    throw new UploadError('registry_unavailable', 'The database cannot be reached at the moment.')
  }
  const registry = new Proxy(store.engine.registry, {
    get: (target, name) => (name === 'find' ? away : Reflect.get(target, name, target)),
  })
  const cut = new ParallelStore({ engine: { ...store.engine, registry }, expiration: null })
  const error = await refusal(cut.getUpload(randomUUID()))
  expect(error).toMatchObject({ status_code: 423, code: 'registry_unavailable' })
}, 20_000)
