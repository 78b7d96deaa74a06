import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { pattern } from '../../support/sources.js'
import { type Fixture, MIB, newBlob } from './fixture.js'

export function readContract(at: Fixture): void {
  describe('read', () => {
    test('gives any range', async () => {
      const blob = newBlob()
      const bytes = pattern(2 * MIB)
      await at.put(blob, bytes)
      for (const [start, stop] of [
        [0, 0],
        [0, 1],
        [5, 6],
        [MIB - 1, MIB + 1],
        [2 * MIB - 1, 2 * MIB],
        [0, 2 * MIB],
      ] as const) {
        expect((await at.get(blob, start, stop)).equals(bytes.subarray(start, stop))).toBe(true)
      }
    })

    test('fails with blob_gone when there is no blob', async () => {
      await expect(at.get(newBlob(), 0, 1)).rejects.toMatchObject({ code: 'blob_gone' })
    })

    test('fails rather than end early when the blob is too short', async () => {
      const blob = newBlob()
      await at.put(blob, Buffer.alloc(10))
      await expect(at.get(blob, 0, 11)).rejects.toMatchObject({ code: 'storage_failed' })
      await expect(at.get(blob, 20, 30)).rejects.toMatchObject({ code: 'storage_failed' })
    })

    test('can be given up at any moment', async () => {
      const blob = newBlob()
      await at.put(blob, Buffer.alloc(4 * MIB))
      const unread = at.store.read(blob, 0, 4 * MIB)
      unread.destroy()
      await once(unread, 'close')
      const half = at.store.read(blob, 0, 4 * MIB)
      await once(half, 'data')
      half.destroy()
      await once(half, 'close')
    })
  })
}
