import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { comesToRest, newBlob } from '../contract/byte-store/fixture.js'
import { openDiskStore, systemError, WatchedCalls } from '../support/disk-store.js'
import { Gate } from '../support/gate.js'
import { collect } from '../support/sources.js'

describe('reading', () => {
  test('closes its file after a read under way, also when it is given up', async () => {
    const gate = new Gate()
    const entered = new Gate()
    class Slow extends WatchedCalls {
      override async read(fd: number, buffer: Buffer, position: number): Promise<number> {
        entered.open()
        await gate.opened
        return super.read(fd, buffer, position)
      }
    }
    const calls = new Slow()
    const { store } = await openDiskStore({ fs: calls })
    const blob = newBlob()
    await store.write(blob, 0, Readable.from(['hello']), { limit: 9, fresh: true }).done
    const reading = store.read(blob, 0, 5)
    reading.resume()
    await entered.opened
    const closed = new Promise<void>((resolve) => reading.once('close', resolve))
    reading.destroy()
    await comesToRest(() => calls.log.length)
    expect(calls.openFiles.size).toBe(1)
    gate.open()
    await closed
    expect(calls.openFiles.size).toBe(0)
  })

  test('fails with a code when the disk does', async () => {
    class Broken extends WatchedCalls {
      override async read(): Promise<number> {
        throw systemError('EIO')
      }
    }
    const calls = new Broken()
    const { store } = await openDiskStore({ fs: calls })
    const blob = newBlob()
    await store.write(blob, 0, Readable.from(['hello']), { limit: 9, fresh: true }).done
    await expect(collect(store.read(blob, 0, 5))).rejects.toMatchObject({ code: 'storage_failed' })
    expect(calls.openFiles.size).toBe(0)
  })
})
