import { once } from 'node:events'
import { Readable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import type { WriteOptions } from '../../../src/upload/ports.js'
import { collect, HandSource, PatternSource, pattern } from '../../support/sources.js'
import { comesToRest, type Fixture, MIB, NO_LIMIT, newBlob } from './fixture.js'

export function writeEndsEarlyContract(at: Fixture): void {
  describe('a write that ends early', () => {
    const begin = (source: Readable, options: Partial<WriteOptions> = {}) => {
      const blob = newBlob()
      return { blob, write: at.store.write(blob, 0, source, { limit: NO_LIMIT, fresh: true, ...options }) }
    }

    test('keeps what had arrived when the signal comes', async () => {
      const source = new HandSource()
      const stop = new AbortController()
      const { blob, write } = begin(source, { signal: stop.signal })
      source.push('hello')
      await once(source, 'data')
      stop.abort()
      source.push(' too late')
      expect(await write.done).toEqual({ stored: 5, ended: 'aborted' })
      expect(String(await at.get(blob, 0, 5))).toBe('hello')
      await expect(at.get(blob, 0, 6)).rejects.toMatchObject({ code: 'storage_failed' })
    })

    test('stores nothing when the signal came before', async () => {
      const source = new HandSource()
      source.push('hello')
      const { write } = begin(source, { signal: AbortSignal.abort() })
      expect(await write.done).toEqual({ stored: 0, ended: 'aborted' })
    })

    test('leaves the source whole, paused and without listeners that act', async () => {
      const source = new HandSource()
      const stop = new AbortController()
      const { write } = begin(source, { signal: stop.signal })
      stop.abort()
      await write.done
      expect(source.destroyed).toBe(false)
      expect(source.isPaused()).toBe(true)
      for (const event of ['data', 'end', 'close']) expect(source.listenerCount(event)).toBe(0)
      // What happens to the source now is its owner's business, and breaks nothing.
      const closed = new Promise<void>((resolve) => source.once('close', resolve))
      source.destroy(new Error('the client left afterwards'))
      await closed
    })

    test('keeps what had arrived when the source fails', async () => {
      const source = new HandSource()
      const { blob, write } = begin(source)
      source.push('hello')
      await once(source, 'data')
      source.destroy(new Error('connection reset'))
      expect(await write.done).toEqual({ stored: 5, ended: 'cut' })
      expect(String(await at.get(blob, 0, 5))).toBe('hello')
    })

    test('keeps what had arrived when the source is destroyed without an error', async () => {
      const source = new HandSource()
      const { write } = begin(source)
      source.push('hello')
      await once(source, 'data')
      source.destroy()
      expect(await write.done).toEqual({ stored: 5, ended: 'cut' })
    })

    test('is cut at once by a source that had failed or was destroyed before', async () => {
      const failed = new HandSource()
      failed.on('error', () => undefined)
      failed.destroy(new Error('earlier'))
      const destroyed = new HandSource()
      destroyed.destroy()
      await once(destroyed, 'close')
      for (const source of [failed, destroyed]) {
        expect(await begin(source).write.done).toEqual({ stored: 0, ended: 'cut' })
      }
    })

    test('ends at once with a source that had ended before', async () => {
      const source = Readable.from([])
      await collect(source)
      expect(await begin(source).write.done).toEqual({ stored: 0, ended: 'end' })
    })

    test('is followed by no late byte', async () => {
      const length = 64 * MIB
      const stop = new AbortController()
      const source = new PatternSource(length)
      const blob = newBlob()
      const write = at.store.write(blob, 0, source, {
        limit: length,
        fresh: true,
        signal: stop.signal,
        onStored: (total) => {
          if (total >= 8 * MIB) stop.abort()
        },
      })
      const { stored, ended } = await write.done
      expect(ended).toBe('aborted')
      // Whoever goes on from here may write at once; nothing of the earlier write lands on it.
      const next = pattern(MIB, 99)
      await at.put(blob, next, { fresh: false }, stored)
      await comesToRest(() => source.produced)
      expect((await at.get(blob, stored, stored + MIB)).equals(next)).toBe(true)
      source.destroy()
    })
  })
}
