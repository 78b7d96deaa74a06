import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, onTestFinished, test } from 'vitest'
import { DiskByteStore } from '../../stores/disk/byte-store.js'
import { freeBytes } from '../../stores/disk/reserve.js'
import { MIB, newBlob } from '../contract/byte-store/fixture.js'
import { openDiskStore, WatchedCalls } from '../support/disk-store.js'
import { freeBytes as measuredFree, mountSmall, unmount } from '../support/small-disk.js'
import { collect, PatternSource, pattern } from '../support/sources.js'

const RESERVE = 4 * MIB

/** A disk that counts what is free, and how often it is asked. */
class CountingDisk extends WatchedCalls {
  free: number
  least: number
  looks = 0

  constructor(free: number) {
    super()
    this.free = free
    this.least = free
  }

  readonly freeBytes = async (): Promise<number> => {
    this.looks += 1
    return this.free
  }

  override async writev(fd: number, buffers: readonly Buffer[], position: number): Promise<number> {
    const written = await super.writev(fd, buffers, position)
    this.free -= written
    this.least = Math.min(this.least, this.free)
    return written
  }
}

async function openOn(disk: CountingDisk, reserve = RESERVE): Promise<DiskByteStore> {
  const options = { fs: disk, freeBytes: disk.freeBytes, reserve, durability: 'relaxed' } as const
  const { store } = await openDiskStore({ ...options, assembleBlockBytes: MIB })
  disk.looks = 0
  return store
}

function write(store: DiskByteStore, length: number, blob = newBlob()) {
  return store.write(blob, 0, new PatternSource(length), { limit: length, fresh: true }).done
}

async function expectPattern(store: DiskByteStore, blob: ReturnType<typeof newBlob>, length: number) {
  expect((await collect(store.read(blob, 0, length))).equals(pattern(length))).toBe(true)
}

describe('a write that comes to the reserve', () => {
  test('ends as on a full disk: what found room is kept, to the byte', async () => {
    const disk = new CountingDisk(RESERVE + 300_001)
    const store = await openOn(disk)
    const blob = newBlob()
    expect(await write(store, 5 * MIB, blob)).toMatchObject({
      stored: 300_001,
      ended: 'failed',
      error: {
        code: 'storage_full',
        cause: { message: `what is free is kept in reserve (${RESERVE} bytes)` },
      },
    })
    expect(disk.free).toBe(RESERVE)
    expect(disk.openFiles.size).toBe(0)
    await expectPattern(store, blob, 300_001)
  })

  test('goes on as soon as there is room, without waiting for the next look', async () => {
    const disk = new CountingDisk(RESERVE)
    const store = await openOn(disk)
    expect(await write(store, MIB)).toMatchObject({
      stored: 0,
      ended: 'failed',
      error: { code: 'storage_full' },
    })
    disk.free += MIB
    expect(await write(store, MIB)).toEqual({ stored: MIB, ended: 'end' })
  })

  test('leaves it alone though many write at once', async () => {
    const disk = new CountingDisk(RESERVE + 9 * MIB)
    const store = await openOn(disk)
    const results = await Promise.all(Array.from({ length: 12 }, () => write(store, 2 * MIB)))
    expect(disk.least).toBeGreaterThanOrEqual(RESERVE)
    expect(results.filter(({ ended }) => ended === 'failed').length).toBeGreaterThan(0)
    expect(results.reduce((sum, { stored }) => sum + stored, 0)).toBe(RESERVE + 9 * MIB - disk.free)
    // Errs to the safe side while others write; what that left is there for the next.
    const rest = disk.free - RESERVE
    expect(await write(store, 20 * MIB)).toMatchObject({ stored: rest, ended: 'failed' })
  })
})

describe('the file system is asked', () => {
  test('once in 16 MiB', async () => {
    const disk = new CountingDisk(1024 * MIB)
    const store = await openOn(disk)
    const begun = performance.now()
    expect(await write(store, 128 * MIB)).toMatchObject({ ended: 'end' })
    const seconds = Math.ceil((performance.now() - begun) / 1000)
    // The first 16 MiB are covered by the look of `open`; a last batch may not fit into what is left of its 16.
    expect(disk.looks).toBeGreaterThanOrEqual(7)
    expect(disk.looks).toBeLessThanOrEqual(10 + seconds)
  })

  test('once a second by small writes', async () => {
    const disk = new CountingDisk(1024 * MIB)
    const store = await openOn(disk)
    const begun = performance.now()
    for (let count = 0; count < 300; count++) await write(store, 100)
    expect(disk.looks).toBeLessThanOrEqual(1 + Math.ceil((performance.now() - begun) / 1000))
  })

  test('never by the writes of a store without a reserve', async () => {
    const disk = new CountingDisk(0)
    const store = await openOn(disk, 0)
    expect(await write(store, 20 * MIB)).toEqual({ stored: 20 * MIB, ended: 'end' })
    expect(disk.looks).toBe(0)
  })

  test('and when it fails to answer, the write ends', async () => {
    const cause = Object.assign(new Error('EIO'), { code: 'EIO' })
    const disk = new CountingDisk(1024 * MIB)
    const answer = () => (disk.looks === 0 ? disk.freeBytes() : Promise.reject(cause))
    const { store } = await openDiskStore({ fs: disk, freeBytes: answer, reserve: RESERVE })
    const { stored, ...rest } = await write(store, 32 * MIB)
    expect(rest).toMatchObject({ ended: 'failed', error: { code: 'storage_failed', cause } })
    expect(stored).toBeGreaterThan(0)
    expect(stored).toBeLessThanOrEqual(16 * MIB)
    expect(disk.openFiles.size).toBe(0)
  })
})

test('an assembly leaves the reserve alone, and goes through when there is room', async () => {
  const disk = new CountingDisk(RESERVE + 5 * MIB)
  const store = await openOn(disk)
  const blob = newBlob()
  expect(await write(store, 3 * MIB, blob)).toEqual({ stored: 3 * MIB, ended: 'end' })
  const extents = [{ start: 0, stop: 3 * MIB, blob, blobOffset: 0 }]
  const options = { copied: 0, fresh: true, onCopied: async () => true }
  await expect(store.assemble(newBlob(), extents, options)).rejects.toMatchObject({ code: 'storage_full' })
  expect(disk.free).toBe(RESERVE)
  expect(disk.openFiles.size).toBe(0)
  disk.free += 3 * MIB
  const target = newBlob()
  expect(await store.assemble(target, extents, options)).toBe('done')
  await expectPattern(store, target, 3 * MIB)
})

describe('check', () => {
  test.each([RESERVE, 0])(
    'with %i bytes in reserve says that there is no room, and when there is again',
    async (reserve) => {
      const disk = new CountingDisk(reserve + 1)
      const store = await openOn(disk, reserve)
      await store.check()
      disk.free = reserve
      await expect(store.check()).rejects.toMatchObject({ code: 'storage_full' })
      disk.free = reserve + 1
      await store.check()
    },
  )

  test('takes a file system that knows no sizes for one with room', async ({ skip }) => {
    if (process.platform !== 'linux') skip('only /proc is known to know none')
    expect(await freeBytes('/proc')).toBe(Number.POSITIVE_INFINITY)
    expect(await freeBytes(tmpdir())).toBeLessThan(Number.POSITIVE_INFINITY)
  })
})

describe('a real disk', () => {
  async function small(bytes: number, skip: (reason: string) => void): Promise<string> {
    const mounted = await mkdtemp(join(tmpdir(), 'tributary-small-'))
    const unable = await mountSmall(mounted, bytes)
    onTestFinished(async () => {
      if (unable === null) await unmount(mounted)
      await rm(mounted, { recursive: true, force: true })
    })
    if (unable !== null) skip(unable)
    return mounted
  }

  test('keeps its reserve, to within its blocks, and goes on after a removal', async ({ skip }) => {
    const mounted = await small(16 * MIB, skip)
    const store = new DiskByteStore({
      ...{ directory: join(mounted, 'blobs'), durability: 'strict', reserve: RESERVE },
    })
    await store.open()
    const filler = newBlob()
    await write(store, 6 * MIB, filler)
    const blob = newBlob()
    const { stored, ended, error } = await write(store, 32 * MIB, blob)
    expect({ ended, error }).toMatchObject({ ended: 'failed', error: { code: 'storage_full' } })
    expect(stored).toBeGreaterThan(5 * MIB)
    expect(await measuredFree(mounted)).toBe(RESERVE)
    await expect(store.check()).rejects.toMatchObject({ code: 'storage_full' })
    await store.remove(filler)
    await store.check()
    const rest = Readable.from([pattern(stored + MIB).subarray(stored)])
    expect(await store.write(blob, stored, rest, { limit: MIB, fresh: false }).done).toEqual({
      ...{ stored: MIB, ended: 'end' },
    })
    await expectPattern(store, blob, stored + MIB)
  })

  test('that is full to its last byte can be opened, read and emptied', async ({ skip }) => {
    const mounted = await small(4 * MIB, skip)
    const directory = join(mounted, 'blobs')
    const before = new DiskByteStore({ directory, durability: 'strict' })
    await before.open()
    const blob = newBlob()
    const { stored } = await write(before, 8 * MIB, blob)
    expect(await measuredFree(mounted)).toBe(0)

    const store = new DiskByteStore({ directory, durability: 'strict' })
    await store.open()
    await expect(store.check()).rejects.toMatchObject({ code: 'storage_full' })
    await expectPattern(store, blob, stored)
    await store.remove(blob)
    await store.check()
    expect(await write(store, MIB)).toEqual({ stored: MIB, ended: 'end' })
  })
})
