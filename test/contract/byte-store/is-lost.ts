import { describe, expect, test } from 'vitest'
import { type Fixture, newBlob } from './fixture.js'

export function isLostContract(at: Fixture): void {
  describe('isLost', () => {
    test('bytes that are there are not lost, those that somebody took away are', async () => {
      const [kept, lost] = [newBlob(), newBlob()]
      for (const blob of [kept, lost]) await at.put(blob, Buffer.from('bytes'))
      expect([await at.store.isLost(kept), await at.store.isLost(lost)]).toEqual([false, false])
      await at.lose(lost)
      expect([await at.store.isLost(kept), await at.store.isLost(lost)]).toEqual([false, true])
      await expect(at.get(lost, 0, 5)).rejects.toMatchObject({ code: 'blob_gone' })
      expect(await at.put(lost, Buffer.from('again'))).toEqual({ stored: 5, ended: 'end' })
      expect(await at.store.isLost(lost)).toBe(false)
    })
  })
}
