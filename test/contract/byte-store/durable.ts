import { describe, expect, test } from 'vitest'
import { HandSource, PatternSource } from '../../support/sources.js'
import { type Fixture, MIB, newBlob, nextTurn, StoredBytes } from './fixture.js'

export function durableContract(at: Fixture): void {
  durableByPartsContract(at)
  describe('durable, byte by byte', () => {
    test('counts what is stored, while the write goes on and afterwards', async () => {
      const source = new HandSource()
      const stored = new StoredBytes()
      const write = at.store.write(newBlob(), 0, source, { limit: 100, fresh: true, onStored: stored.saw })
      expect(await write.durable()).toBe(0)
      source.push('0123456789')
      await stored.reach(10)
      expect(await Promise.all([write.durable(), write.durable(), write.durable()])).toEqual([10, 10, 10])
      source.push('0123456789')
      source.end()
      expect(await write.done).toEqual({ stored: 20, ended: 'end' })
      expect(await write.durable()).toBe(20)
    })
  })
}

/** Of stores that store a byte only together with those that fill its part. */
export function durableByPartsContract(at: Fixture): void {
  describe('durable', () => {
    test('never counts less than before', async () => {
      const length = 16 * MIB
      const write = at.store.write(newBlob(), 0, new PatternSource(length), { limit: length, fresh: true })
      const counts: number[] = []
      let running = true
      const asking = (async () => {
        while (running) {
          counts.push(await write.durable())
          await nextTurn()
        }
      })()
      await write.done
      running = false
      await asking
      expect(counts).toEqual(counts.toSorted((a, b) => a - b))
      expect(await write.durable()).toBe(length)
    })
  })
}
