import { describe, expect } from 'vitest'
import { aborted, claimed, claimOf, codeOf, EXPIRATION, type Fact, FRAGO_EXPIRATION, found } from './stage.js'

export function chunks(fact: Fact): void {
  describe('chunks in any order', () => {
    fact('are received side by side, by several nodes at once', async (stage) => {
      const nodes = [stage.a, await stage.bench.node()]
      const upload = await stage.chunked(26)
      const letters = [...'abcdefghijklmnopqrstuvwxyz'].entries()
      const shuffled = [...letters].sort(([x], [y]) => ((x * 7) % 26) - ((y * 7) % 26))
      await Promise.all(shuffled.map(([at, letter]) => stage.chunk(upload, at, letter, nodes[at % 2])))
      expect(await found(stage.a, upload)).toMatchObject({ offset: 26, status: 'in_progress' })
      expect(await stage.beginning(upload)).toBe('abcdefghijklmnopqrstuvwxyz')
    })

    fact('the offset is where the first gap begins', async (stage) => {
      const upload = await stage.chunked(9)
      const offsets = []
      for (const start of [6, 3, 0]) {
        const recorded = await stage.chunk(upload, start, 'abc')
        expect(recorded).toMatchObject({ completed: false, completedFinals: [], unreferenced: [] })
        offsets.push(recorded.upload.offset)
      }
      expect(offsets).toEqual([0, 0, 9])
    })

    fact('no chunk may be empty, or end after the upload', async (stage) => {
      const upload = await stage.chunked(9)
      for (const [start, stop] of [
        [0, 10],
        [9, 10],
        [3, 3],
        [0, Number.MAX_SAFE_INTEGER],
      ] as const) {
        expect(await codeOf(stage.a.claim(claimOf(upload, { start, stop })))).toBe('range_conflict')
      }
      expect(await stage.a.find(upload.id, null)).toMatchObject({ held: false })
    })

    fact('what a client says the length is must be it', async (stage) => {
      const upload = await stage.chunked(9)
      const wrong = stage.a.claim(claimOf(upload, { start: 0, stop: 3, declaredLength: 8 }))
      expect(await codeOf(wrong)).toBe('length_conflict')
      await claimed(stage.a, upload, { start: 0, stop: 3, declaredLength: 9 })
    })

    fact(
      'an upload of chunks expires some time after it was created, and nothing moves that',
      async (stage) => {
        const upload = await stage.chunked(9)
        const rest = Number(upload.expiresAt) - Number(upload.createdAt)
        expect(rest).toBeGreaterThan(FRAGO_EXPIRATION - EXPIRATION)
        expect(rest).toBeLessThan(FRAGO_EXPIRATION + EXPIRATION)
        const { upload: grown } = await stage.chunk(upload, 0, 'abc')
        expect(grown.expiresAt).toEqual(upload.expiresAt)
      },
    )

    fact('an empty upload of chunks waits to be finished', async (stage) => {
      const upload = await stage.chunked(0)
      expect(upload).toMatchObject({ status: 'in_progress', offset: 0, completedAt: null })
      expect(upload.expiresAt).toBeInstanceOf(Date)
    })

    fact('a chunk that ended early leaves room for another after it', async (stage) => {
      const upload = await stage.chunked(6)
      const claim = await claimed(stage.a, upload, { start: 0, stop: 6 })
      await stage.a.record(claim, stage.write(claim, 'abcd'))
      await stage.chunk(upload, 4, 'ef')
      expect(await stage.beginning(upload)).toBe('abcdef')
    })

    fact('an expired upload takes none, nor does one that was removed', async (stage) => {
      const [due, gone] = [await stage.chunked(6), await stage.chunked(6)]
      await stage.bench.makeDue(due.id)
      await stage.a.terminate(gone.id, null)
      expect(await codeOf(stage.a.claim(claimOf(due, { start: 0, stop: 3 })))).toBe('upload_expired')
      expect(await codeOf(stage.a.claim(claimOf(gone, { start: 0, stop: 3 })))).toBe('upload_not_found')
    })
  })

  describe('a chunk that begins where another begins', () => {
    fact('goes to a blob of its own, and learns what it replaces', async (stage) => {
      const upload = await stage.chunked(9)
      await stage.chunk(upload, 0, 'abc')
      await stage.chunk(upload, 3, 'def')
      const claim = await claimed(stage.a, upload, { start: 3, stop: 6 })
      expect(claim).toMatchObject({ start: 3, blobOffset: 0, fresh: true, length: 9, replaces: { stop: 6 } })
      expect(claim.blob.epoch).toBe(stage.a.epoch)
      const [old] = claim.replaces?.extents ?? []
      expect(old).toMatchObject({ start: 3, stop: 6, blobOffset: 3 })
      expect(old?.blob.id).not.toBe(claim.blob.id)
      expect([...(await stage.a.knownBlobs(claim.blob.epoch, [claim.blob.id]))]).toEqual([])
    })

    fact('one that replaces nothing says so', async (stage) => {
      const upload = await stage.chunked(9)
      expect((await claimed(stage.a, upload, { start: 0, stop: 3 })).replaces).toBeNull()
    })

    fact('takes its place when it is recorded, not before', async (stage) => {
      const upload = await stage.chunked(9)
      for (const [start, text] of [...'abcdefghi'].entries()) await stage.chunk(upload, start, text)
      const claim = await claimed(stage.a, upload, { start: 4, stop: 5 })
      stage.write(claim, 'X')
      expect(await stage.beginning(upload)).toBe('abcdefghi')
      const recorded = await stage.a.record(claim, 5)
      expect(recorded).toMatchObject({ completed: false, unreferenced: [], upload: { offset: 9 } })
      expect(await stage.beginning(upload)).toBe('abcdXfghi')
      expect([...(await stage.a.knownBlobs(claim.blob.epoch, [claim.blob.id]))]).toEqual([claim.blob.id])
    })

    fact('handed back, it leaves everything as it was', async (stage) => {
      const upload = await stage.chunked(3)
      await stage.chunk(upload, 0, 'abc')
      const claim = await claimed(stage.a, upload, { start: 0, stop: 3 })
      stage.write(claim, 'XYZ')
      await stage.a.release(claim)
      expect(await stage.beginning(upload)).toBe('abc')
      expect(await stage.a.unreferencedBlobs(10)).toEqual([])
      expect(await codeOf(stage.a.record(claim, 3))).toBe('claim_lost')
      const empty = await claimed(stage.a, upload, { start: 0, stop: 3 })
      expect(await stage.a.record(empty, 0)).toMatchObject({ unreferenced: [], upload: { offset: 3 } })
      expect(await stage.beginning(upload)).toBe('abc')
    })

    fact('gives away the blob that nothing refers to any more', async (stage) => {
      const upload = await stage.chunked(3)
      await stage.chunk(upload, 0, 'abc')
      const first = await claimed(stage.a, upload, { start: 0, stop: 3 })
      const old = first.replaces?.extents[0]?.blob
      expect((await stage.a.record(first, stage.write(first, 'XYZ'))).unreferenced).toEqual([old])
      expect(await stage.a.unreferencedBlobs(10)).toEqual([old])
      const { unreferenced } = await stage.chunk(upload, 0, '123')
      expect(unreferenced).toEqual([first.blob])
      expect(await stage.beginning(upload)).toBe('123')
    })

    fact('a longer one may fill the gap behind it', async (stage) => {
      const upload = await stage.chunked(9)
      await stage.chunk(upload, 0, 'abc')
      await stage.chunk(upload, 6, 'ghi')
      expect((await stage.chunk(upload, 0, 'ABCDEF')).upload.offset).toBe(9)
      expect(await stage.beginning(upload)).toBe('ABCDEFghi')
    })

    fact('a shorter one leaves a gap, which can be filled', async (stage) => {
      const upload = await stage.chunked(9)
      await stage.chunk(upload, 0, 'abcdef')
      await stage.chunk(upload, 6, 'ghi')
      expect((await stage.chunk(upload, 0, 'AB')).upload.offset).toBe(2)
      expect(await stage.beginning(upload)).toBe('AB')
      expect((await stage.chunk(upload, 2, 'CDEF')).upload.offset).toBe(9)
      expect(await stage.beginning(upload)).toBe('ABCDEFghi')
    })

    fact('behind a gap it does not move the offset', async (stage) => {
      const upload = await stage.chunked(9)
      await stage.chunk(upload, 0, 'ab')
      await stage.chunk(upload, 4, 'ef')
      expect((await stage.chunk(upload, 4, 'EFGH')).upload.offset).toBe(2)
      expect((await stage.chunk(upload, 4, 'e')).upload.offset).toBe(2)
      expect((await stage.chunk(upload, 2, 'cd')).upload.offset).toBe(5)
      expect(await stage.beginning(upload)).toBe('abcde')
    })

    fact('it may not touch any other received chunk', async (stage) => {
      const upload = await stage.chunked(9)
      await stage.chunk(upload, 0, 'abc')
      await stage.chunk(upload, 3, 'def')
      for (const [start, stop] of [
        [0, 4],
        [0, 9],
        [1, 2],
        [2, 7],
        [5, 8],
      ] as const) {
        expect(await codeOf(stage.a.claim(claimOf(upload, { start, stop })))).toBe('range_conflict')
      }
      expect(await stage.a.find(upload.id, null)).toMatchObject({ held: false })
    })

    fact('the claim covers the old chunk, all of it', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(9)
      await stage.chunk(upload, 0, 'abcdef')
      await claimed(stage.a, upload, { start: 0, stop: 2 })
      expect(await b.claim(claimOf(upload, { start: 0, stop: 6 }))).toBeNull()
      await claimed(b, upload, { start: 6, stop: 9 })
    })

    fact('of many that replace one at once, one at a time does', async (stage) => {
      const nodes = [stage.a, await stage.bench.node()]
      const upload = await stage.chunked(3)
      await stage.chunk(upload, 0, 'abc')
      const requests = ['ABC', 'DEF', 'GHI', 'JKL'].map(async (text, index) => {
        const node = nodes[index % 2] ?? stage.a
        const claim = await node.claim(claimOf(upload, { start: 0, stop: 3 }))
        if (claim === null) return null
        await node.record(claim, stage.write(claim, text))
        return text
      })
      const stored = (await Promise.all(requests)).filter((text) => text !== null)
      expect(stored).toContain(await stage.beginning(upload))
    })

    fact('neighbours go on meanwhile', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 10; round++) {
        const upload = await stage.chunked(9)
        await stage.chunk(upload, 3, 'def')
        await Promise.all([
          stage.chunk(upload, 3, 'DEF'),
          stage.chunk(upload, 0, 'abc', b),
          stage.chunk(upload, 6, 'ghi', b),
        ])
        expect(await stage.beginning(upload)).toBe('abcDEFghi')
      }
    })

    fact('a record whose answer was lost is answered the same again', async (stage) => {
      const upload = await stage.chunked(3)
      await stage.chunk(upload, 0, 'abc')
      const claim = await claimed(stage.a, upload, { start: 0, stop: 3 })
      const recorded = await stage.a.record(claim, stage.write(claim, 'XYZ'))
      expect(await stage.a.record(claim, 3)).toEqual(recorded)
      expect(await codeOf(stage.a.record(claim, 2))).toBe('claim_lost')
      await stage.chunk(upload, 0, '123')
      expect(await codeOf(stage.a.record(claim, 3))).toBe('claim_lost')
    })

    fact('under a retired epoch it does not count: its file may be swept', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(3)
      await stage.chunk(upload, 0, 'abc', b)
      const claim = await claimed(stage.a, upload, { start: 0, stop: 3 })
      stage.write(claim, 'XYZ')
      await stage.bench.lapse(stage.a)
      await b.retireEpochs()
      expect(await codeOf(stage.a.record(claim, 3))).toBe('claim_lost')
      expect(await stage.beginning(upload, b)).toBe('abc')
      expect([...(await b.knownBlobs(claim.blob.epoch, [claim.blob.id]))]).toEqual([])
    })
  })

  describe('taking over', () => {
    fact('a chunk that was not handed back goes to another blob, with all its range', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(8)
      const old = await claimed(stage.a, upload, { start: 2, stop: 6 })
      stage.write(old, '????')
      await stage.bench.lapse(stage.a)
      const next = await claimed(b, upload, { start: 2, stop: 4 })
      expect(next.blob.id).not.toBe(old.blob.id)
      await b.record(next, stage.write(next, 'cd'))
      for (const [start, text] of [
        [0, 'ab'],
        [4, 'ef'],
        [6, 'gh'],
      ] as const) {
        await stage.chunk(upload, start, text, b)
      }
      stage.write(old, '!!!!')
      expect(await stage.beginning(upload, b)).toBe('abcdefgh')
      expect(await codeOf(stage.a.record(old, 6))).toBe('claim_lost')
    })

    fact('a writer has one blob, wherever others took over and gave up', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(8)
      const old = await claimed(stage.a, upload, { start: 4, stop: 8 })
      await stage.bench.lapse(stage.a)
      await b.release(await claimed(b, upload, { start: 4, stop: 6 }))
      await stage.chunk(upload, 0, 'abcdefgh', b)
      stage.write(old, '!!!!')
      expect(await stage.beginning(upload, b)).toBe('abcdefgh')
    })

    fact('by one that replaces: what the old holder had stays with it', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(8)
      await stage.chunk(upload, 0, 'ab')
      const old = await claimed(stage.a, upload, { start: 2, stop: 8 })
      await stage.bench.lapse(stage.a)
      await stage.chunk(upload, 0, 'ABCD', b)
      await stage.chunk(upload, 4, 'EFGH', b)
      stage.write(old, '!!!!!!')
      expect(await stage.beginning(upload, b)).toBe('ABCDEFGH')
    })

    fact('from one that was replacing: it had a blob of its own', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(4)
      await stage.chunk(upload, 0, 'ab')
      const old = await claimed(stage.a, upload, { start: 0, stop: 4 })
      await stage.bench.lapse(stage.a)
      await stage.chunk(upload, 2, 'cd', b)
      stage.write(old, '!!!!')
      expect(await stage.beginning(upload, b)).toBe('abcd')
      expect(await codeOf(stage.a.record(old, 4))).toBe('claim_lost')
      expect(await b.unreferencedBlobs(10)).toEqual([])
    })

    fact('from a node that surely writes no more, it goes on in the same blob', async (stage) => {
      const b = await stage.bench.node()
      const chunked = await stage.chunked(4)
      const plain = await stage.stored('ab', { length: 4 })
      const chunk = await claimed(stage.a, chunked, { start: 0, stop: 4 })
      const append = await claimed(stage.a, plain)
      await stage.bench.bury(stage.a)
      expect(await claimed(b, chunked, { start: 0, stop: 4 })).toMatchObject({ blob: chunk.blob })
      const next = await claimed(b, plain)
      expect(next).toMatchObject({ blob: append.blob, blobOffset: 2 })
      await b.record(next, stage.write(next, 'cd'))
      expect(await stage.content(plain, b)).toBe('abcd')
      expect(await b.extents(plain.id, null)).toHaveLength(1)
    })

    fact('writers beside the range that is waited for are left alone', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(12)
      const [before, wanted, after] = [
        await claimed(stage.a, upload, { start: 0, stop: 4 }),
        await claimed(stage.a, upload, { start: 4, stop: 8 }),
        await claimed(stage.a, upload, { start: 8, stop: 12 }),
      ]
      expect(await b.askToYield(upload.id, 4, 8)).toBe(true)
      await aborted(wanted.yielded)
      expect([before.yielded.aborted, after.yielded.aborted]).toEqual([false, false])
      await stage.a.release(wanted)
      expect(await b.askToYield(upload.id, 4, 8)).toBe(false)
    })

    fact('whoever waits for a chunk makes its writer stop', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(4)
      await stage.chunk(upload, 0, 'abcd')
      const claim = await claimed(stage.a, upload, { start: 0, stop: 4 })
      const handedBack = b.handedBack(upload.id, 60_000)
      await b.askToYield(upload.id)
      await aborted(claim.yielded)
      await stage.a.record(claim, stage.write(claim, 'ABCD'))
      await handedBack
    })
  })
}
