import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { Gate } from '../../support/gate.js'
import { collect, HandSource, PatternSource } from '../../support/sources.js'
import { comesToRest, type Fixture, MIB, NO_LIMIT, newBlob } from './fixture.js'

/** `leftovers`: why bytes that were never recorded cannot be written over, where they cannot. */
export function writeContract(at: Fixture, leftovers: string | null = null): void {
  describe('write', () => {
    test('stores what the source yields, and reads it back', async () => {
      const blob = newBlob()
      const length = 3 * MIB + 7
      const source = new PatternSource(length)
      const result = await at.store.write(blob, 0, source, { limit: length, fresh: true }).done
      expect(result).toEqual({ stored: length, ended: 'end' })
      expect((await at.get(blob, 0, length)).equals(await collect(new PatternSource(length)))).toBe(true)
    })

    test('takes an empty source', async () => {
      const blob = newBlob()
      const result = await at.store.write(blob, 0, Readable.from([]), { limit: 10, fresh: true }).done
      expect(result).toEqual({ stored: 0, ended: 'end' })
    })

    test('can be begun again when the first try brought no byte', async () => {
      const blob = newBlob()
      const gone = new HandSource()
      gone.destroy()
      expect(await at.store.write(blob, 0, gone, { limit: 10, fresh: true }).done).toEqual({
        stored: 0,
        ended: 'cut',
      })
      expect(await at.put(blob, Buffer.from('again'))).toEqual({ stored: 5, ended: 'end' })
      expect(String(await at.get(blob, 0, 5))).toBe('again')
    })

    test('goes on where an earlier write ended', async () => {
      const blob = newBlob()
      await at.put(blob, Buffer.from('first '))
      expect(await at.put(blob, Buffer.from('second'), {}, 6)).toEqual({ stored: 6, ended: 'end' })
      expect(String(await at.get(blob, 0, 12))).toBe('first second')
    })

    test('takes strings and Uint8Arrays', async () => {
      const blob = newBlob()
      const source = Readable.from(['grün ', new Uint8Array([0x62, 0x6c, 0x61, 0x75])])
      const { stored } = await at.store.write(blob, 0, source, { limit: 100, fresh: true }).done
      expect(String(await at.get(blob, 0, stored))).toBe('grün blau')
    })

    test('keeps no more than the limit, and says that there was more', async () => {
      const blob = newBlob()
      expect(await at.put(blob, Buffer.from('0123456789'), { limit: 4 })).toEqual({
        stored: 4,
        ended: 'limit',
      })
      await expect(at.get(blob, 0, 5)).rejects.toMatchObject({ code: 'storage_failed' })
      expect(String(await at.get(blob, 0, 4))).toBe('0123')
    })

    test('takes exactly the limit', async () => {
      const blob = newBlob()
      expect(await at.put(blob, Buffer.from('0123'), { limit: 4 })).toEqual({ stored: 4, ended: 'end' })
    })

    test('shows every byte once and in order before it is stored', async () => {
      const blob = newBlob()
      const length = 2 * MIB
      const seen: Buffer[] = []
      let ahead = true
      const { stored } = await at.store.write(blob, 0, new PatternSource(length), {
        limit: length,
        fresh: true,
        observe: (bytes) => seen.push(Buffer.from(bytes)),
        onStored: (total) => {
          ahead &&= total <= seen.reduce((sum, { length }) => sum + length, 0)
        },
      }).done
      expect(stored).toBe(length)
      expect(ahead).toBe(true)
      expect(Buffer.concat(seen).equals(await at.get(blob, 0, length))).toBe(true)
    })

    test('shows no byte beyond the limit', async () => {
      let seen = 0
      await at.put(newBlob(), Buffer.alloc(100), { limit: 7, observe: ({ length }) => (seen += length) })
      expect(seen).toBe(7)
    })

    test('fails with what the observer throws', async () => {
      const error = new Error('no more')
      const observe = () => {
        throw error
      }
      expect(await at.put(newBlob(), Buffer.alloc(100), { observe })).toEqual({
        stored: 0,
        ended: 'failed',
        error,
      })
    })

    test('reports rising totals, the last of them being everything', async () => {
      const totals: number[] = []
      const length = 2 * MIB
      await at.store.write(newBlob(), 0, new PatternSource(length), {
        limit: length,
        fresh: true,
        onStored: (total) => {
          totals.push(total)
        },
      }).done
      expect(totals.at(-1)).toBe(length)
      expect(totals).toEqual([...new Set(totals)].sort((a, b) => a - b))
    })

    test('takes no more bytes, and soon none from the source, until onStored settles', async () => {
      const length = 256 * MIB
      const source = new PatternSource(length, 256 * 1024)
      const entered = new Gate()
      const gate = new Gate()
      const stop = new AbortController()
      let calls = 0
      const write = at.store.write(newBlob(), 0, source, {
        limit: length,
        fresh: true,
        signal: stop.signal,
        onStored: () => {
          calls += 1
          entered.open()
          return gate.opened
        },
      })
      await entered.opened
      await comesToRest(() => source.produced)
      expect(calls).toBe(1)
      expect(source.produced).toBeLessThan(32 * MIB)
      stop.abort()
      gate.open()
      const result = await write.done
      expect(result.ended).toBe('aborted')
      source.destroy()
    })

    test('fails with what onStored rejects with, and counts what was stored', async () => {
      const error = new Error('the row is gone')
      const onStored = () => Promise.reject(error)
      expect(await at.put(newBlob(), Buffer.alloc(100), { onStored })).toEqual({
        stored: 100,
        ended: 'failed',
        error,
      })
    })

    test('fails with what onStored rejects with, though no more bytes come', async () => {
      const error = new Error('the row is gone')
      const source = new HandSource()
      const onStored = () => Promise.reject(error)
      const write = at.store.write(newBlob(), 0, source, { limit: NO_LIMIT, fresh: true, onStored })
      // More than any store gathers before it stores something.
      source.push(Buffer.alloc(24 * MIB))
      expect(await write.done).toMatchObject({ ended: 'failed', error })
    })

    test('fails with blob_gone when the blob is not there and not to be made', async () => {
      const result = await at.put(newBlob(), Buffer.alloc(10), { fresh: false })
      expect(result).toMatchObject({ stored: 0, ended: 'failed', error: { code: 'blob_gone' } })
    })

    test('begins again over bytes that were never recorded', async ({ skip }) => {
      if (leftovers !== null) skip(leftovers)
      const blob = newBlob()
      await at.put(blob, Buffer.from('did not fit its checksum'))
      expect(await at.put(blob, Buffer.from('fits'))).toEqual({ stored: 4, ended: 'end' })
      expect(String(await at.get(blob, 0, 4))).toBe('fits')
    })
  })
}
