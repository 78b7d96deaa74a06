import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../support/seeded.js'
import { PacedSource, pattern } from '../../support/sources.js'
import { type Fixture, MIB, NO_LIMIT, newBlob } from './fixture.js'

const SEED = Number(process.env.WRITES_SEED ?? Date.now() % 2 ** 31)
const WRITES = 24
/** All come within so many ms, and have at most so many bytes. */
const WITHIN = 1000
const MOST = 16 * MIB

export function noneStandsStillContract(at: Fixture): void {
  describe('writes that share memory', () => {
    test(`all get through, whenever others come, pause and leave (WRITES_SEED=${SEED})`, async () => {
      const random = seededRandom(SEED)
      const whole = pattern(MOST)
      const write = async () => {
        const bytes = whole.subarray(0, Math.floor(random() * MOST))
        const pauses = random() < 0.5 ? 0 : 10
        const blob = newBlob()
        await sleep(random() * WITHIN)
        const source = new PacedSource(bytes, () => ({ bytes: random() * MIB, ms: random() * pauses }))
        const { done } = at.store.write(blob, 0, source, { limit: NO_LIMIT, fresh: true })
        expect(await done).toEqual({ stored: bytes.length, ended: 'end' })
        expect((await at.get(blob, 0, bytes.length)).equals(bytes)).toBe(true)
      }
      await Promise.all(Array.from({ length: WRITES }, write))
    })
  })
}
