import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { Blob } from '../../src/upload/blob.js'
import { DiskByteStore } from '../../stores/disk/byte-store.js'
import { newBlob } from '../contract/byte-store/fixture.js'
import { byteStoreContract } from '../contract/byte-store.js'
import { openDiskStore, WatchedCalls } from '../support/disk-store.js'
import { collect, HandSource } from '../support/sources.js'

for (const durability of ['strict', 'relaxed'] as const) {
  const make = async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tributary-blobs-'))
    const store = new DiskByteStore({ directory, durability, assembleBlockBytes: 256 * 1024 })
    await store.open()
    const lose = ({ id, epoch }: Blob) => rm(join(directory, String(epoch), id.slice(0, 2), id))
    return { store, lose, close: () => rm(directory, { recursive: true }) }
  }
  byteStoreContract(`DiskByteStore (${durability})`, make, { anyPosition: true, byteByByte: true })
}

function put(store: DiskByteStore, blob: Blob, text: string) {
  return store.write(blob, 0, Readable.from([text]), { limit: 1000, fresh: true }).done
}

describe('where blobs lie', () => {
  test('a blob is a file below its epoch and the first two digits of its id', async () => {
    const { store, directory } = await openDiskStore()
    const blob = newBlob(12)
    await put(store, blob, 'bytes')
    expect(await readdir(join(directory, '12', blob.id.slice(0, 2)))).toEqual([blob.id])
  })

  const id = newBlob().id
  test.each([
    ['an id with a way out', { id: '../../../../etc/passwd', epoch: 1 }],
    ['an upper-case id', { id: id.toUpperCase(), epoch: 1 }],
    ['an id with something after it', { id: `${id}/..`, epoch: 1 }],
    ['an id with a NUL', { id: `${id}\0`, epoch: 1 }],
    ['no id', { id: '', epoch: 1 }],
    ['epoch 0', { id, epoch: 0 }],
    ['a negative epoch', { id, epoch: -1 }],
    ['half an epoch', { id, epoch: 1.5 }],
    ['an epoch that is no number', { id, epoch: Number.NaN }],
  ])('%s is refused by every operation', async (_, blob) => {
    const { store, directory } = await openDiskStore()
    const before = await readdir(directory)
    expect(await put(store, blob, 'bytes')).toMatchObject({
      stored: 0,
      ended: 'failed',
      error: expect.any(RangeError),
    })
    await expect(collect(store.read(blob, 0, 1))).rejects.toBeInstanceOf(RangeError)
    await expect(store.remove(blob)).rejects.toBeInstanceOf(RangeError)
    const onCopied = async () => true
    await expect(store.assemble(blob, [], { copied: 0, fresh: true, onCopied })).rejects.toBeInstanceOf(
      RangeError,
    )
    if (blob.id === id) {
      await expect(store.sweepEpoch(blob.epoch, async () => new Set())).rejects.toBeInstanceOf(RangeError)
    }
    expect(await readdir(directory)).toEqual(before)
  })

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('position %d is refused', async (position) => {
    const { store } = await openDiskStore()
    const source = Readable.from(['x'])
    expect(() => store.write(newBlob(), position, source, { limit: 1, fresh: true })).toThrow(RangeError)
    expect(() => store.read(newBlob(), position, position)).toThrow(RangeError)
  })
})

describe('open', () => {
  test('makes the directory with its parents, and leaves nothing in it', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'tributary-blobs-'))
    const directory = join(parent, 'a', 'b', 'blobs')
    const calls = new WatchedCalls()
    await openDiskStore({ directory, fs: calls })
    expect(await readdir(directory)).toEqual([])
    // The entries "a", "b" and "blobs", each in its parent.
    expect(calls.count('fsync')).toBe(3)
    await rm(parent, { recursive: true })
  })

  test('fails with a code, a sentence without paths, and the cause', async () => {
    const parent = await mkdtemp(join(tmpdir(), 'tributary-blobs-'))
    await writeFile(join(parent, 'file'), '')
    const store = new DiskByteStore({ directory: join(parent, 'file', 'blobs'), durability: 'strict' })
    const error = await store.open().catch((caught: Error) => caught)
    expect(error).toMatchObject({ code: 'storage_failed', cause: { code: 'ENOTDIR' } })
    expect((error as Error).message).not.toContain(parent)
    await rm(parent, { recursive: true })
  })

  test('nothing is touched before it', async () => {
    const directory = join(tmpdir(), `tributary-blobs-${newBlob().id}`)
    const store = new DiskByteStore({ directory, durability: 'strict' })
    await expect(store.check()).rejects.toMatchObject({ code: 'storage_failed' })
    await expect(readdir(directory)).rejects.toMatchObject({ code: 'ENOENT' })
  })
})

describe('directories', () => {
  test('that vanish while the store runs are made again', async () => {
    const { store, directory } = await openDiskStore()
    await put(store, newBlob(1), 'one')
    await rm(join(directory, '1'), { recursive: true })
    const blob = newBlob(1)
    expect(await put(store, blob, 'two')).toEqual({ stored: 3, ended: 'end' })
    expect(String(await collect(store.read(blob, 0, 3)))).toBe('two')
  })

  test('are left in place by remove where new blobs are made, and removed elsewhere', async () => {
    const { store, directory } = await openDiskStore()
    const blob = newBlob(1)
    await put(store, blob, 'bytes')
    await store.remove(blob)
    expect(await readdir(join(directory, '1'))).toEqual([blob.id.slice(0, 2)])

    const restarted = new DiskByteStore({ directory, durability: 'strict' })
    await restarted.remove(blob)
    expect(await readdir(directory)).toEqual([])
  })
})

describe('isLost', () => {
  test('a store that is not there has lost nothing, and neither has one that is mounted empty', async () => {
    const { store, directory } = await openDiskStore()
    const blob = newBlob(12)
    await put(store, blob, 'bytes')
    await rename(directory, `${directory} unmounted`)
    expect(await store.isLost(blob)).toBe(false)
    await mkdir(directory)
    expect(await store.isLost(blob)).toBe(false)
    await rm(directory, { recursive: true })
    await rename(`${directory} unmounted`, directory)
    await rm(join(directory, '12', blob.id.slice(0, 2), blob.id))
    expect(await store.isLost(blob)).toBe(true)
    await rm(join(directory, '12'), { recursive: true })
    expect(await store.isLost(blob)).toBe(false)
  })

  test('a directory that cannot be looked into is an error', async () => {
    const { store, directory } = await openDiskStore()
    const blob = newBlob(12)
    await writeFile(join(directory, '12'), 'in the way')
    await expect(store.isLost(blob)).rejects.toMatchObject({ code: 'storage_failed' })
    await expect(store.isLost({ id: '../etc', epoch: 1 })).rejects.toBeInstanceOf(RangeError)
  })
})

describe('sweepEpoch', () => {
  const nothingKnown = async () => new Set<string>()

  test('leaves alone what is no blob, and removes empty directories', async () => {
    const { store, directory } = await openDiskStore()
    const [stray, kept] = [newBlob(7), newBlob(7)]
    await put(store, stray, 'bytes')
    await put(store, kept, 'bytes')
    const fanOut = join(directory, '7', kept.id.slice(0, 2))
    await writeFile(join(fanOut, 'notes.txt'), 'mine')
    await mkdir(join(directory, '7', 'lost+found'))
    const strangerId = `${kept.id.startsWith('00') ? '11' : '00'}${newBlob().id.slice(2)}`
    await writeFile(join(fanOut, strangerId), 'in a directory that is not its own')

    expect(await store.sweepEpoch(7, nothingKnown)).toBe(2)
    expect((await readdir(fanOut)).sort()).toEqual([strangerId, 'notes.txt'].sort())
    expect((await readdir(join(directory, '7'))).sort()).toEqual([kept.id.slice(0, 2), 'lost+found'].sort())
  })

  test('removes the directory of an epoch that left nothing else', async () => {
    const { store, directory } = await openDiskStore()
    for (let n = 0; n < 20; n++) await put(store, newBlob(7), 'bytes')
    expect(await store.sweepEpoch(7, nothingKnown)).toBe(20)
    expect(await readdir(directory)).toEqual([])
    expect(await put(store, newBlob(7), 'after all')).toMatchObject({ ended: 'end' })
  })

  test('asks in batches', async () => {
    const { store, directory } = await openDiskStore()
    const fanOut = join(directory, '7', 'ab')
    await mkdir(fanOut, { recursive: true })
    const names = Array.from({ length: 1201 }, () => `ab${newBlob().id.slice(2)}`)
    await Promise.all(names.map((name) => writeFile(join(fanOut, name), '')))
    const sizes: number[] = []
    const known = async (ids: readonly string[]) => {
      sizes.push(ids.length)
      return new Set(ids)
    }
    expect(await store.sweepEpoch(7, known)).toBe(0)
    expect(sizes).toEqual([500, 500, 201])
  })
})

test('a write that is broken off before its first byte makes no file', async () => {
  const { store, directory } = await openDiskStore()
  const stop = new AbortController()
  const write = store.write(newBlob(), 0, new HandSource(), { limit: 10, fresh: true, signal: stop.signal })
  stop.abort()
  expect(await write.done).toEqual({ stored: 0, ended: 'aborted' })
  expect(await readdir(directory)).toEqual([])
})
