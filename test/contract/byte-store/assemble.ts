import { beforeEach, describe, expect, test } from 'vitest'
import type { Extent } from '../../../src/upload/blob.js'
import { pattern } from '../../support/sources.js'
import { type Fixture, MIB, newBlob } from './fixture.js'

/** `leftovers`: why bytes that were never reported cannot be written over, where they cannot. */
export function assembleContract(at: Fixture, leftovers: string | null = null): void {
  describe('assemble', () => {
    const sizes = [5, 3 * MIB + 1, 1, MIB]
    let extents: Extent[]
    let whole: Buffer
    beforeEach(async () => {
      extents = []
      const parts: Buffer[] = []
      let start = 0
      for (const [index, size] of sizes.entries()) {
        const bytes = pattern(size + index, index)
        const blob = newBlob()
        await at.put(blob, bytes)
        parts.push(bytes.subarray(index))
        extents.push({ start, stop: start + size, blob, blobOffset: index })
        start += size
      }
      whole = Buffer.concat(parts)
    })

    const always = () => Promise.resolve(true)

    test('copies extents in order', async () => {
      const target = newBlob()
      const totals: number[] = []
      const onCopied = async (copied: number) => {
        totals.push(copied)
        return true
      }
      expect(await at.store.assemble(target, extents, { copied: 0, fresh: true, onCopied })).toBe('done')
      expect(totals.at(-1)).toBe(whole.length)
      expect((await at.get(target, 0, whole.length)).equals(whole)).toBe(true)
    })

    test('copies the same blob as often as it is named', async () => {
      const blob = newBlob()
      await at.put(blob, Buffer.from('abc'))
      const twice = [
        { start: 0, stop: 3, blob, blobOffset: 0 },
        { start: 3, stop: 5, blob, blobOffset: 1 },
      ]
      const target = newBlob()
      await at.store.assemble(target, twice, { copied: 0, fresh: true, onCopied: always })
      expect(String(await at.get(target, 0, 5))).toBe('abcbc')
    })

    test('goes on where it was interrupted', async () => {
      const target = newBlob()
      const copied = 5 + MIB
      await at.put(target, whole.subarray(0, copied))
      const options = { copied, fresh: false, onCopied: always }
      expect(await at.store.assemble(target, extents, options)).toBe('done')
      expect((await at.get(target, 0, whole.length)).equals(whole)).toBe(true)
      expect(await at.store.assemble(target, extents, { ...options, copied: whole.length })).toBe('done')
    })

    test('begins again over what an earlier try had not reported', async ({ skip }) => {
      if (leftovers !== null) skip(leftovers)
      const target = newBlob()
      await at.put(target, pattern(3 * MIB, 42))
      const options = { copied: 0, fresh: true, onCopied: always }
      expect(await at.store.assemble(target, extents, options)).toBe('done')
      expect((await at.get(target, 0, whole.length)).equals(whole)).toBe(true)
    })

    test('stops when it is no longer wanted', async () => {
      const target = newBlob()
      const options = { copied: 0, fresh: true }
      const refused = { ...options, onCopied: () => Promise.resolve(false) }
      expect(await at.store.assemble(target, extents, refused)).toBe('stopped')
      const aborted = { ...options, signal: AbortSignal.abort(), onCopied: always }
      expect(await at.store.assemble(newBlob(), extents, aborted)).toBe('stopped')
    })

    test('rejects with blob_gone when a source is gone', async () => {
      await at.store.remove(extents[1]?.blob ?? newBlob())
      const assembling = at.store.assemble(newBlob(), extents, { copied: 0, fresh: true, onCopied: always })
      await expect(assembling).rejects.toMatchObject({ code: 'blob_gone' })
    })

    test('rejects with what onCopied rejects with', async () => {
      const error = new Error('no database')
      const onCopied = () => Promise.reject(error)
      await expect(at.store.assemble(newBlob(), extents, { copied: 0, fresh: true, onCopied })).rejects.toBe(
        error,
      )
    })
  })
}
