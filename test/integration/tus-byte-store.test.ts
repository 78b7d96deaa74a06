import { randomUUID } from 'node:crypto'
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { FileStore } from '@tus/file-store'
import { DataStore } from '@tus/utils'
import { describe, expect, test } from 'vitest'
import type { Blob } from '../../src/upload/blob.js'
import type { WriteOptions } from '../../src/upload/ports.js'
import { TusByteStore } from '../../stores/tus/byte-store.js'
import { AppendingStore } from '../support/appending-store.js'
import { scratchDirectory } from '../support/embedded-scratch.js'
import { seededBytes, sha256 } from '../support/seeded.js'

interface Kind {
  readonly name: string
  make(): Promise<DataStore & { kept?: string }>
}

const KINDS: readonly Kind[] = [
  { name: 'FileStore', make: async () => fileStore() },
  { name: 'a store that only appends and ends like S3Store', make: async () => new AppendingStore() },
]

async function fileStore(): Promise<FileStore> {
  return new FileStore({ directory: await scratchDirectory() })
}

function blob(): Blob {
  return { id: randomUUID(), epoch: 1 }
}

async function put(
  store: TusByteStore,
  target: Blob,
  position: number,
  bytes: string | Buffer,
  options: Partial<WriteOptions> = {},
) {
  const source = Readable.from([Buffer.from(bytes)], { objectMode: false })
  return store.write(target, position, source, { limit: 1e9, fresh: position === 0, ...options }).done
}

function* piecesOf(content: Buffer): Generator<Buffer> {
  for (let at = 0; at < content.length; at += 100_000) yield content.subarray(at, at + 100_000)
}

async function get(store: TusByteStore, target: Blob, start: number, stop: number): Promise<string> {
  return Buffer.concat(await store.read(target, start, stop).toArray()).toString()
}

describe.for(KINDS)('TusByteStore over $name', ({ make }) => {
  test('writes, goes on and reads any range', async () => {
    const store = new TusByteStore(await make())
    const target = blob()
    expect(await put(store, target, 0, '01234')).toEqual({ stored: 5, ended: 'end' })
    expect(await put(store, target, 5, '56789', { fresh: false })).toEqual({ stored: 5, ended: 'end' })
    expect(await get(store, target, 0, 10)).toBe('0123456789')
    expect(await get(store, target, 3, 7)).toBe('3456')
    expect(await get(store, target, 10, 10)).toBe('')
  })

  test('progress is known portion by portion', async () => {
    const store = new TusByteStore(await make())
    const totals: number[] = []
    const content = seededBytes('portions', 40 * 1024 * 1024)
    const target = blob()
    const source = Readable.from(piecesOf(content), { objectMode: false })
    const write = store.write(target, 0, source, {
      limit: content.length,
      fresh: true,
      onStored: async (total) => {
        totals.push(total)
        expect(await write.durable()).toBe(total)
      },
    })
    expect(await write.done).toEqual({ stored: content.length, ended: 'end' })
    expect(totals.length).toBeGreaterThan(2)
    expect(sha256(Buffer.concat(await store.read(target, 0, content.length).toArray()))).toBe(sha256(content))
  })

  test('says what ended a write, and keeps what came before', async () => {
    const store = new TusByteStore(await make())
    expect(await put(store, blob(), 0, '12345', { limit: 3 })).toEqual({ stored: 3, ended: 'limit' })
    expect(await put(store, blob(), 0, '12345', { limit: 5 })).toEqual({ stored: 5, ended: 'end' })
    for (const how of ['cut', 'aborted'] as const) {
      const target = blob()
      const source = new PassThrough()
      const aborting = new AbortController()
      source.write('123')
      const write = store.write(target, 0, source, { limit: 100, fresh: true, signal: aborting.signal })
      await new Promise((resolve) => source.once('data', resolve))
      if (how === 'cut') source.destroy()
      else aborting.abort()
      expect(await write.done).toEqual({ stored: 3, ended: how })
      expect(source.destroyed).toBe(how === 'cut')
      expect(await get(store, target, 0, 3)).toBe('123')
    }
  })

  test('a source that was over before the write began', async () => {
    const store = new TusByteStore(await make())
    const ended = Readable.from([])
    await ended.toArray()
    const write = store.write(blob(), 0, ended, { limit: 100, fresh: true })
    expect(await write.done).toEqual({ stored: 0, ended: 'end' })
  })

  test('shows every byte once, in order', async () => {
    const store = new TusByteStore(await make())
    const seen: Buffer[] = []
    const content = seededBytes('observed', 700_000)
    await put(store, blob(), 0, content, { observe: (bytes) => void seen.push(Buffer.from(bytes)) })
    expect(Buffer.concat(seen).equals(content)).toBe(true)
  })

  test('an observer that fails ends the write', async () => {
    const store = new TusByteStore(await make())
    const failure = new Error('observed enough')
    const result = await put(store, blob(), 0, '123', {
      observe: () => {
        throw failure
      },
    })
    expect(result).toEqual({ stored: 0, ended: 'failed', error: failure })
  })

  test('an aborted start can be begun again with other bytes', async () => {
    const store = new TusByteStore(await make())
    const target = blob()
    await put(store, target, 0, 'wrong and long')
    expect(await put(store, target, 0, 'right')).toEqual({ stored: 5, ended: 'end' })
    expect(await get(store, target, 0, 5)).toBe('right')
  })

  test('leaves no gap, and does not go on where bytes are missing', async () => {
    const store = new TusByteStore(await make())
    expect(await put(store, blob(), 5, '5', { fresh: true })).toMatchObject({ ended: 'failed', stored: 0 })
    const target = blob()
    await put(store, target, 0, '012')
    expect(await put(store, target, 5, '5', { fresh: false })).toMatchObject({
      ended: 'failed',
      error: { code: 'storage_failed' },
    })
  })

  test('a blob that is not there is gone', async () => {
    const store = new TusByteStore(await make())
    expect(await put(store, blob(), 0, '0', { fresh: false })).toMatchObject({ error: { code: 'blob_gone' } })
    await expect(get(store, blob(), 0, 1)).rejects.toMatchObject({ code: 'blob_gone' })
    const target = blob()
    await put(store, target, 0, '012')
    await store.remove(target)
    await store.remove(target)
    await expect(get(store, target, 0, 1)).rejects.toMatchObject({ code: 'blob_gone' })
  })

  test('fewer bytes than rows promise are a failure, not an end', async () => {
    const store = new TusByteStore(await make())
    const target = blob()
    await put(store, target, 0, '012')
    await expect(get(store, target, 0, 4)).rejects.toMatchObject({ code: 'storage_failed' })
  })

  test('several may read a blob for the first time at once', async () => {
    const store = new TusByteStore(await make())
    const target = blob()
    await put(store, target, 0, '0123456789')
    const all = await Promise.all([
      get(store, target, 0, 10),
      get(store, target, 5, 10),
      get(store, target, 0, 1),
    ])
    expect(all).toEqual(['0123456789', '56789', '0'])
  })

  test('a reader may leave early', async () => {
    const store = new TusByteStore(await make())
    const target = blob()
    await put(store, target, 0, seededBytes('early', 2_000_000))
    for await (const bytes of store.read(target, 0, 2_000_000)) {
      expect((bytes as Buffer).length).toBeGreaterThan(0)
      break
    }
  })

  test('assembles, and goes on where it stopped', async () => {
    const store = new TusByteStore(await make())
    const [first, second, target] = [blob(), blob(), blob()]
    await put(store, first, 0, 'xx01234')
    await put(store, second, 0, '56789')
    const extents = [
      { start: 0, stop: 5, blob: first, blobOffset: 2 },
      { start: 5, stop: 10, blob: second, blobOffset: 0 },
    ]
    const reported: number[] = []
    const onCopied = async (copied: number) => {
      reported.push(copied)
      return true
    }
    const stopping = { copied: 0, fresh: true, onCopied, signal: AbortSignal.abort() }
    expect(await store.assemble(target, extents, stopping)).toBe('stopped')
    await put(store, target, 0, '012')
    expect(await store.assemble(target, extents, { copied: 3, fresh: false, onCopied })).toBe('done')
    expect(reported).toEqual([10])
    expect(await get(store, target, 0, 10)).toBe('0123456789')
  })

  test('an assembly ends where the report is refused', async () => {
    const store = new TusByteStore(await make())
    const [first, target] = [blob(), blob()]
    await put(store, first, 0, '01234')
    const extents = [{ start: 0, stop: 5, blob: first, blobOffset: 0 }]
    const refused = { copied: 0, fresh: true, onCopied: async () => false }
    expect(await store.assemble(target, extents, refused)).toBe('stopped')
  })

  test('an assembly says when a blob is gone', async () => {
    const store = new TusByteStore(await make())
    const extents = [{ start: 0, stop: 5, blob: blob(), blobOffset: 0 }]
    const options = { copied: 0, fresh: true, onCopied: async () => true }
    await expect(store.assemble(blob(), extents, options)).rejects.toMatchObject({ code: 'blob_gone' })
  })

  test('can be checked, and has nothing to sweep', async () => {
    const store = new TusByteStore(await make())
    await store.check()
    expect(await store.sweepEpoch()).toBe(0)
  })

  test('refuses positions that are none', async () => {
    const store = new TusByteStore(await make())
    for (const position of [-1, 0.5, Number.NaN]) {
      expect(() => store.read(blob(), position, 10)).toThrow(RangeError)
      expect(() => store.write(blob(), position, Readable.from([]), { limit: 1, fresh: true })).toThrow(
        RangeError,
      )
    }
  })
})

describe('of plain files', () => {
  test('bytes that do not count are written over', async () => {
    const store = new TusByteStore(await fileStore())
    const target = blob()
    await put(store, target, 0, '012xyz')
    expect(await put(store, target, 3, '34', { fresh: false })).toEqual({ stored: 2, ended: 'end' })
    expect(await get(store, target, 0, 5)).toBe('01234')
  })

  test('the files are those of the wrapped store', async () => {
    const files = await fileStore()
    const target = blob()
    await put(new TusByteStore(files), target, 0, '012')
    expect(await readFile(join(files.directory, target.id), 'utf8')).toBe('012')
    await new TusByteStore(files).remove(target)
    expect(await readdir(files.directory)).toEqual([])
  })

  test('a file that vanished is gone, and a removal that failed is not taken for one', async () => {
    const files = await fileStore()
    const store = new TusByteStore(files)
    const target = blob()
    await put(store, target, 0, '012')
    await rm(join(files.directory, target.id))
    await expect(get(store, target, 0, 1)).rejects.toMatchObject({ code: 'blob_gone' })
    await put(store, target, 0, '012')
    files.remove = async () => {
      throw { status_code: 404, body: 'as FileStore answers any failure' }
    }
    await expect(store.remove(target)).rejects.toMatchObject({ code: 'storage_failed' })
  })

  test('memory holds little of a write the store does not take', async () => {
    const files = await fileStore()
    files.write = () => new Promise(() => undefined)
    const source = new PassThrough({ highWaterMark: 1024 })
    new TusByteStore(files).write(blob(), 0, source, { limit: 1e9, fresh: true })
    let sent = 0
    while (sent < 64 && source.write(Buffer.alloc(1024 * 1024))) sent += 1
    expect(sent).toBeLessThan(4)
  })
})

describe('of a store that only appends', () => {
  test('what was read takes no more bytes', async () => {
    const store = new TusByteStore(new AppendingStore())
    const target = blob()
    await put(store, target, 0, '012')
    expect(await get(store, target, 0, 3)).toBe('012')
    expect(await put(store, target, 3, '3', { fresh: false })).toMatchObject({
      error: { code: 'storage_failed' },
    })
  })

  test('bytes that do not count, or a look, leave no place to append to', async () => {
    const store = new TusByteStore(new AppendingStore())
    const target = blob()
    await put(store, target, 0, '012xyz')
    expect([await store.canAppend(target, 3), await store.canAppend(target, 6)]).toEqual([false, true])
    await get(store, target, 0, 6)
    expect(await store.canAppend(target, 6)).toBe(false)
    expect(await put(store, target, 3, '34', { fresh: false })).toMatchObject({
      error: { code: 'storage_failed' },
    })
  })

  test('a blob whose sealing was interrupted can be read', async () => {
    const wrapped = new AppendingStore()
    const target = blob()
    await put(new TusByteStore(wrapped), target, 0, '012')
    await wrapped.declareUploadLength(target.id, 3)
    expect(await get(new TusByteStore(wrapped), target, 0, 3)).toBe('012')
  })

  test('what a failed write kept is known', async () => {
    const wrapped = new AppendingStore({ failsAfter: 4 })
    const target = blob()
    const result = await put(new TusByteStore(wrapped), target, 0, '012345')
    expect(result).toMatchObject({ stored: 4, ended: 'failed', error: { code: 'storage_full' } })
  })
})

describe('stores it cannot use', () => {
  test('one that cannot be read from', () => {
    expect(() => new TusByteStore(new DataStore())).toThrow('DataStore has no read()')
  })

  test('one that deletes by itself', async () => {
    const directory = await scratchDirectory()
    const store = new FileStore({ directory, expirationPeriodInMilliseconds: 1000 })
    expect(() => new TusByteStore(store)).toThrow('expiration of its own')
  })
})
