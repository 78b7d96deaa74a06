import { describe, expect } from 'vitest'
import { OffsetMismatch } from '../../../src/upload/errors.js'
import { aborted, claimed, claimOf, codeOf, draft, type Fact, finalOf, found } from './stage.js'

export function claiming(fact: Fact): void {
  describe('claiming', () => {
    fact('the first claim gets a fresh blob of this epoch', async ({ a }) => {
      const upload = await a.create(draft({ length: 10 }))
      const claim = await claimed(a, upload)
      expect(claim).toMatchObject({ uploadId: upload.id, start: 0, length: 10, blobOffset: 0, fresh: true })
      expect(claim.blob.epoch).toBe(a.epoch)
      expect(claim.yielded.aborted).toBe(false)
    })

    fact('a claimed upload is held, until it is recorded or released', async ({ a }) => {
      const upload = await a.create(draft())
      const first = await claimed(a, upload)
      expect(await a.find(upload.id, null)).toMatchObject({ held: true })
      const { upload: grown } = await a.record(first, 4)
      expect(await a.find(upload.id, null)).toMatchObject({ held: false })
      const second = await claimed(a, grown)
      expect(await a.find(upload.id, null)).toMatchObject({ held: true })
      await a.release(second)
      expect(await a.find(upload.id, null)).toMatchObject({ held: false })
    })

    fact('nobody else gets what a living writer holds, on any node', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      expect(await a.claim(claimOf(upload))).toBeNull()
      expect(await b.claim(claimOf(upload))).toBeNull()
      await a.checkpoint([{ claim, stop: 4 }])
      expect(await b.claim(claimOf(upload, { start: 4 }))).toBeNull()
    })

    fact('of many that claim at once, one gets it', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft())
      const claims = await Promise.all([a, b, a, b, a, b, a, b].map((node) => node.claim(claimOf(upload))))
      expect(claims.filter((claim) => claim !== null)).toHaveLength(1)
    })

    fact('a claim that was handed back leaves its blob to the next one', async (stage) => {
      const { a } = stage
      const b = await stage.bench.node()
      const upload = await a.create(draft({ length: 5 }))
      const first = await claimed(a, upload)
      const { upload: grown } = await a.record(first, stage.write(first, 'he'))
      const second = await claimed(b, grown)
      expect(second).toMatchObject({ blob: first.blob, blobOffset: 2, start: 2, fresh: false })
      await b.release(second)
      const third = await claimed(a, grown)
      expect(third).toMatchObject({ blob: first.blob, blobOffset: 2, start: 2, fresh: false })
      expect(third.token).not.toBe(second.token)
      await a.record(third, stage.write(third, 'llo'))
      expect(await stage.content(upload)).toBe('hello')
    })

    fact('a claim goes on in another blob where its own takes no more bytes', async (stage) => {
      const { a } = stage
      const upload = await a.create(draft({ length: 5 }))
      const first = await claimed(a, upload)
      const { upload: grown } = await a.record(first, stage.write(first, 'he'))
      const second = await claimed(a, grown)
      const moved = await a.relocate(second)
      expect(moved).toMatchObject({ token: second.token, start: 2, blobOffset: 0, fresh: true })
      expect(moved.blob).not.toEqual(first.blob)
      expect(await a.claim(claimOf(grown))).toBeNull()
      await a.record(moved, stage.write(moved, 'llo'))
      expect(await stage.content(upload)).toBe('hello')
      expect(await codeOf(a.relocate(moved))).toBe('claim_lost')
    })

    fact(
      'a blob of which nothing was recorded is fresh again: its file may never have been made',
      async ({ a }) => {
        const upload = await a.create(draft())
        await a.release(await claimed(a, upload))
        const second = await claimed(a, upload)
        expect(second).toMatchObject({ fresh: true, blobOffset: 0 })
        await a.record(second, 0)
        expect(await claimed(a, upload)).toMatchObject({ fresh: true, blobOffset: 0 })
      },
    )

    fact('an append must begin at the recorded offset, which the refusal names', async ({ a }) => {
      const upload = await a.create(draft())
      await a.record(await claimed(a, upload), 4)
      for (const start of [0, 3, 5, 11]) {
        const refusal = await a.claim(claimOf(upload, { start })).catch((error: unknown) => error)
        expect(refusal).toBeInstanceOf(OffsetMismatch)
        expect(refusal).toMatchObject({ code: 'offset_mismatch', offset: 4 })
      }
      expect(await a.find(upload.id, null)).toMatchObject({ held: false, upload: { offset: 4 } })
    })

    fact(
      'a finished upload takes nothing: only at its very end it says that it is finished',
      async (stage) => {
        const upload = await stage.stored('hello')
        for (const start of [0, 3, 6]) {
          const refusal = await stage.a.claim(claimOf(upload, { start })).catch((error: unknown) => error)
          expect(refusal).toMatchObject({ code: 'offset_mismatch', offset: 5 })
        }
        expect(await codeOf(stage.a.claim(claimOf(upload)))).toBe('upload_finished')
        const empty = await stage.stored('')
        expect(await codeOf(stage.a.claim(claimOf(empty)))).toBe('upload_finished')
        expect(await stage.content(upload)).toBe('hello')
        expect(await stage.a.unreferencedBlobs(10)).toEqual([])
      },
    )

    fact('a final takes no bytes, waiting or complete', async (stage) => {
      const part = await stage.a.create(draft({ kind: 'partial' }))
      const waiting = await stage.a.concatenate(finalOf([part]))
      const complete = await stage.a.concatenate(finalOf([await stage.partial('hello')]))
      for (const { upload } of [waiting, complete]) {
        expect(await codeOf(stage.a.claim(claimOf(upload)))).toBe('upload_is_final')
      }
    })

    fact('an upload is written through the protocol that started it', async ({ a }) => {
      const tus = await a.create(draft())
      const frago = await a.create(draft({ protocol: 'frago' }))
      expect(await codeOf(a.claim(claimOf(tus, { protocol: 'frago', stop: 5 })))).toBe('wrong_protocol')
      expect(await codeOf(a.claim(claimOf(frago, { protocol: 'tus' })))).toBe('wrong_protocol')
    })

    fact('an upload that is due takes no bytes, swept or not', async ({ a, bench }) => {
      const upload = await a.create(draft())
      await bench.makeDue(upload.id)
      expect(await codeOf(a.claim(claimOf(upload)))).toBe('upload_expired')
      await a.expireDue(10)
      expect(await codeOf(a.claim(claimOf(upload)))).toBe('upload_expired')
    })
  })

  describe('declaring the length late', () => {
    fact('the claim that declares it settles it', async ({ a }) => {
      const upload = await a.create(draft({ length: null }))
      const claim = await claimed(a, upload, { declaredLength: 8 })
      expect(claim.length).toBe(8)
      await a.release(claim)
      expect((await found(a, upload))?.length).toBe(8)
    })

    fact('the same again is no conflict, another is', async ({ a }) => {
      const upload = await a.create(draft({ length: 8 }))
      await a.release(await claimed(a, upload, { declaredLength: 8 }))
      for (const declaredLength of [7, 9, 0]) {
        expect(await codeOf(a.claim(claimOf(upload, { declaredLength })))).toBe('length_conflict')
      }
      expect(await found(a, upload)).toMatchObject({ length: 8 })
    })

    fact('it cannot be shorter than what was received', async (stage) => {
      const upload = await stage.stored('hello', { length: null })
      expect(await codeOf(stage.a.claim(claimOf(upload, { declaredLength: 4 })))).toBe('length_conflict')
      expect((await found(stage.a, upload))?.length).toBeNull()
    })

    fact('a refused offset settles nothing', async (stage) => {
      const upload = await stage.stored('hello', { length: null })
      const refused = stage.a.claim(claimOf(upload, { start: 3, declaredLength: 8 }))
      expect(await codeOf(refused)).toBe('offset_mismatch')
      expect((await found(stage.a, upload))?.length).toBeNull()
    })

    fact('declaring what is already there completes the upload, without new bytes', async (stage) => {
      const upload = await stage.stored('hello', { length: null })
      const claim = await claimed(stage.a, upload, { declaredLength: 5 })
      expect(await stage.a.record(claim, 5)).toMatchObject({ completed: true, upload: { length: 5 } })
      expect(await stage.content(upload)).toBe('hello')
    })

    fact('a deferred upload that turns out empty is complete', async (stage) => {
      const upload = await stage.a.create(draft({ length: null }))
      const claim = await claimed(stage.a, upload, { declaredLength: 0 })
      expect(await stage.a.record(claim, 0)).toMatchObject({ completed: true, upload: { length: 0 } })
      expect(await stage.content(upload)).toBe('')
    })
  })

  describe('chunks side by side', () => {
    fact(
      'ranges that do not touch are written at once, and count from the first gap',
      async ({ a, bench }) => {
        const b = await bench.node()
        const upload = await a.create(draft({ protocol: 'frago', length: 12 }))
        const [first, second, third] = await Promise.all([
          claimed(a, upload, { start: 0, stop: 4 }),
          claimed(b, upload, { start: 4, stop: 8 }),
          claimed(a, upload, { start: 8, stop: 12 }),
        ])
        expect((await a.record(third, 12)).upload.offset).toBe(0)
        expect((await a.record(first, 4)).upload.offset).toBe(4)
        expect((await b.record(second, 8)).upload.offset).toBe(12)
      },
    )

    fact('a range that a living writer holds is not granted twice, even in part', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft({ protocol: 'frago', length: 12 }))
      await claimed(a, upload, { start: 4, stop: 8 })
      for (const [start, stop] of [
        [4, 8],
        [0, 5],
        [7, 12],
        [5, 6],
      ] as const) {
        expect(await b.claim(claimOf(upload, { start, stop }))).toBeNull()
      }
    })

    fact('a range that overlaps received bytes is a conflict', async ({ a }) => {
      const upload = await a.create(draft({ protocol: 'frago', length: 12 }))
      await a.record(await claimed(a, upload, { start: 4, stop: 8 }), 8)
      for (const [start, stop] of [
        [0, 5],
        [7, 12],
        [5, 6],
      ] as const) {
        expect(await codeOf(a.claim(claimOf(upload, { start, stop })))).toBe('range_conflict')
      }
      expect(await a.find(upload.id, null)).toMatchObject({ held: false })
    })

    fact('a writer that is asked to yield is the one that was asked', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft({ protocol: 'frago', length: 12 }))
      const other = await a.create(draft())
      const claim = await claimed(b, upload, { start: 4, stop: 8 })
      const bystander = await claimed(b, other)
      await a.askToYield(upload.id)
      await aborted(claim.yielded)
      expect(bystander.yielded.aborted).toBe(false)
    })
  })
}
