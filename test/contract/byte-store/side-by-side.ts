import { describe, expect, test } from 'vitest'
import { pattern } from '../../support/sources.js'
import { type Fixture, MIB, newBlob } from './fixture.js'

export function sideBySideContract(at: Fixture): void {
  describe('writes side by side', () => {
    test('each put their bytes where they belong', async () => {
      const blob = newBlob()
      const chunk = MIB + 13
      await at.put(blob, pattern(chunk, 0))
      const positions = [4, 2, 3, 1]
      const results = await Promise.all(
        positions.map((n) => at.put(blob, pattern(chunk, n), { fresh: false }, n * chunk)),
      )
      expect(results).toEqual(positions.map(() => ({ stored: chunk, ended: 'end' })))
      for (const n of [0, ...positions]) {
        expect((await at.get(blob, n * chunk, (n + 1) * chunk)).equals(pattern(chunk, n))).toBe(true)
      }
    })

    test('make many blobs at once', async () => {
      const blobs = Array.from({ length: 60 }, () => newBlob(3))
      const results = await Promise.all(blobs.map((blob) => at.put(blob, Buffer.from(blob.id))))
      expect(results.every(({ stored, ended }) => stored === 36 && ended === 'end')).toBe(true)
      for (const blob of blobs) expect(String(await at.get(blob, 0, 36))).toBe(blob.id)
    })
  })
}
