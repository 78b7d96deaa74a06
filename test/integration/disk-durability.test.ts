import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { comesToRest, newBlob, StoredBytes } from '../contract/byte-store/fixture.js'
import { openDiskStore, systemError, WatchedCalls } from '../support/disk-store.js'
import { Gate } from '../support/gate.js'
import { HandSource } from '../support/sources.js'

describe('strict durability', () => {
  test('syncs bytes, file name and new directories before it is done; relaxed syncs none', async () => {
    const calls = new WatchedCalls()
    const { store } = await openDiskStore({ fs: calls })
    await store.write(newBlob(), 0, Readable.from(['x']), { limit: 9, fresh: true }).done
    // The epoch in the root, the fan-out in the epoch, the file in the fan-out.
    expect([calls.count('fsync'), calls.count('fdatasync')]).toEqual([3, 1])

    const lax = new WatchedCalls()
    const relaxed = await openDiskStore({ fs: lax, durability: 'relaxed' })
    await relaxed.store.write(newBlob(), 0, Readable.from(['x']), { limit: 9, fresh: true }).done
    expect([lax.count('fsync'), lax.count('fdatasync')]).toEqual([0, 0])
  })

  test('waits for a directory that another write is still syncing', async () => {
    const gate = new Gate()
    class Slow extends WatchedCalls {
      override async fsync(fd: number): Promise<void> {
        const first = this.count('fsync') === 0
        await super.fsync(fd)
        if (first) await gate.opened
      }
    }
    const calls = new Slow()
    const { store } = await openDiskStore({ fs: calls })
    let done = 0
    const writes = Array.from({ length: 5 }, async () => {
      await store.write(newBlob(), 0, Readable.from(['x']), { limit: 9, fresh: true }).done
      done += 1
    })
    await comesToRest(() => calls.log.length)
    expect(done).toBe(0)
    gate.open()
    await Promise.all(writes)
  })

  test('shares one sync among those who ask while another runs', async () => {
    const gate = new Gate()
    class Slow extends WatchedCalls {
      override async fdatasync(fd: number): Promise<void> {
        await super.fdatasync(fd)
        await gate.opened
      }
    }
    const calls = new Slow()
    const { store } = await openDiskStore({ fs: calls })
    const source = new HandSource()
    const stored = new StoredBytes()
    const write = store.write(newBlob(), 0, source, { limit: 100, fresh: true, onStored: stored.saw })
    source.push('12345')
    await stored.reach(5)
    const first = write.durable()
    await comesToRest(() => calls.log.length)
    source.push('67890')
    await stored.reach(10)
    const later = [write.durable(), write.durable(), write.durable()]
    await comesToRest(() => calls.log.length)
    expect(calls.count('fdatasync')).toBe(1)
    gate.open()
    expect(await Promise.all([first, ...later])).toEqual([5, 10, 10, 10])
    expect(calls.count('fdatasync')).toBe(2)
    source.end()
    await write.done
    expect(calls.count('fdatasync')).toBe(2)
  })

  test('believes no sync after one that failed', async () => {
    class Failing extends WatchedCalls {
      override async fdatasync(fd: number): Promise<void> {
        await super.fdatasync(fd)
        if (this.count('fdatasync') === 2) throw systemError('EIO')
      }
    }
    const calls = new Failing()
    const { store } = await openDiskStore({ fs: calls })
    const source = new HandSource()
    const stored = new StoredBytes()
    const write = store.write(newBlob(), 0, source, { limit: 100, fresh: true, onStored: stored.saw })
    source.push('12345')
    await stored.reach(5)
    expect(await write.durable()).toBe(5)
    source.push('67890')
    await stored.reach(10)
    await expect(write.durable()).rejects.toMatchObject({ code: 'storage_failed' })
    source.push('more')
    expect(await write.done).toMatchObject({ stored: 5, ended: 'failed', error: { cause: { code: 'EIO' } } })
    await expect(write.durable()).rejects.toMatchObject({ code: 'storage_failed' })
    expect(calls.count('fdatasync')).toBe(2)
    expect(calls.openFiles.size).toBe(0)
  })

  test('counts nothing when the name of the file cannot be synced', async () => {
    class Failing extends WatchedCalls {
      override async fsync(fd: number): Promise<void> {
        await super.fsync(fd)
        if (this.count('fsync') === 3) throw systemError('EIO')
      }
    }
    const { store } = await openDiskStore({ fs: new Failing() })
    const result = await store.write(newBlob(), 0, Readable.from(['x']), { limit: 9, fresh: true }).done
    expect(result).toMatchObject({ stored: 0, ended: 'failed', error: { code: 'storage_failed' } })
  })
})
