import { describe, expect, test } from 'vitest'
import { type Fixture, newBlob } from './fixture.js'

export function removeContract(at: Fixture): void {
  describe('remove', () => {
    test('removes a blob, and minds not that it is gone', async () => {
      const blob = newBlob()
      const other = newBlob()
      await at.put(blob, Buffer.alloc(10))
      await at.put(other, Buffer.alloc(10))
      await at.store.remove(blob)
      await at.store.remove(blob)
      await at.store.remove(newBlob(77))
      await expect(at.get(blob, 0, 10)).rejects.toMatchObject({ code: 'blob_gone' })
      expect((await at.get(other, 0, 10)).length).toBe(10)
    })

    test('lets a new blob be made afterwards', async () => {
      const blob = newBlob()
      await at.put(blob, Buffer.from('one'))
      await at.store.remove(blob)
      expect(await at.put(blob, Buffer.from('two'))).toEqual({ stored: 3, ended: 'end' })
    })
  })

  describe('sweepEpoch', () => {
    test('removes what has no row, in that epoch only', async () => {
      const [kept, left, elsewhere] = [newBlob(5), newBlob(5), newBlob(6)]
      for (const blob of [kept, left, elsewhere]) {
        at.under(blob.epoch)
        await at.put(blob, Buffer.alloc(3))
      }
      const asked: string[] = []
      const known = async (ids: readonly string[]) => {
        asked.push(...ids)
        return new Set([kept.id])
      }
      expect(await at.store.sweepEpoch(5, known)).toBe(1)
      expect(asked.sort()).toEqual([kept.id, left.id].sort())
      expect((await at.get(kept, 0, 3)).length).toBe(3)
      expect((await at.get(elsewhere, 0, 3)).length).toBe(3)
      await expect(at.get(left, 0, 3)).rejects.toMatchObject({ code: 'blob_gone' })
      expect(await at.store.sweepEpoch(5, known)).toBe(0)
    })

    test('finds nothing in an epoch that left nothing', async () => {
      expect(await at.store.sweepEpoch(9, async () => new Set())).toBe(0)
    })
  })
}
