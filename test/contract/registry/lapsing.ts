import { describe, expect } from 'vitest'
import { aborted, claimed, claimOf, codeOf, draft, type Fact, found } from './stage.js'

/** Long enough that a wait which ends by itself would make the test fail. */
const FOREVER_MS = 60_000

export function lapsing(fact: Fact): void {
  describe('handing over', () => {
    fact('whoever waits makes the holder stop, across nodes', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      const heard = aborted(claim.yielded)
      await b.askToYield(upload.id)
      await heard
    })

    fact('and on the same node', async ({ a }) => {
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      const heard = aborted(claim.yielded)
      await a.askToYield(upload.id)
      await heard
    })

    fact('asking where nobody holds anything is no error', async ({ a }) => {
      await a.askToYield(draft().id)
      const upload = await a.create(draft())
      await a.askToYield(upload.id)
      expect((await claimed(a, upload)).yielded.aborted).toBe(false)
    })

    fact('a holder that was asked still records what it has', async (stage) => {
      const { a } = stage
      const b = await stage.bench.node()
      const upload = await a.create(draft({ length: 5 }))
      const claim = await claimed(a, upload)
      const handedBack = b.handedBack(upload.id, FOREVER_MS)
      await b.askToYield(upload.id)
      await aborted(claim.yielded)
      await a.record(claim, stage.write(claim, 'hel'))
      await handedBack
      const next = await claimed(b, upload, { start: 3 })
      expect(next).toMatchObject({ blob: claim.blob, blobOffset: 3 })
      await b.record(next, stage.write(next, 'lo'))
      expect(await stage.content(upload)).toBe('hello')
    })

    fact('a release wakes those who wait, too', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      const handedBack = b.handedBack(upload.id, FOREVER_MS)
      await b.askToYield(upload.id)
      await aborted(claim.yielded)
      await a.release(claim)
      await handedBack
      expect(await b.claim(claimOf(upload))).not.toBeNull()
    })

    fact('who waits on the same node is woken as well', async ({ a }) => {
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      const handedBack = a.handedBack(upload.id, FOREVER_MS)
      await a.askToYield(upload.id)
      await aborted(claim.yielded)
      await a.record(claim, 4)
      await handedBack
    })

    fact('waiting ends by itself', async ({ a }) => {
      await a.handedBack(draft().id, 5)
    })
  })

  describe('a lease that lapsed', () => {
    fact('its holder is not waited for: the next claim gets a blob of its own', async (stage) => {
      const { a } = stage
      const b = await stage.bench.node()
      const upload = await a.create(draft({ length: 5 }))
      const old = await claimed(a, upload)
      await a.checkpoint([{ claim: old, stop: stage.write(old, 'he') }])
      stage.write(old, '??', 2)
      await stage.bench.lapse(a)
      expect(await b.find(upload.id, null)).toMatchObject({ held: false, upload: { offset: 2 } })
      const next = await claimed(b, upload, { start: 2 })
      expect(next).toMatchObject({ start: 2, blobOffset: 0, fresh: true, length: 5 })
      expect(next.blob.id).not.toBe(old.blob.id)
      expect(next.blob.epoch).toBe(b.epoch)
      await b.record(next, stage.write(next, 'llo'))
      stage.write(old, '!!!', 2)
      expect(await stage.content(upload)).toBe('hello')
      expect(await b.extents(upload.id, null)).toMatchObject([
        { start: 0, stop: 2, blob: old.blob, blobOffset: 0 },
        { start: 2, stop: 5, blob: next.blob, blobOffset: 0 },
      ])
    })

    fact('the old holder records nothing once another took over', async (stage) => {
      const { a } = stage
      const b = await stage.bench.node()
      const upload = await a.create(draft())
      const old = await claimed(a, upload)
      await stage.bench.lapse(a)
      const next = await claimed(b, upload)
      expect(await a.checkpoint([{ claim: old, stop: 6 }])).toEqual([old.token])
      expect(await codeOf(a.record(old, 6))).toBe('claim_lost')
      await a.release(old)
      expect(await b.find(upload.id, null)).toMatchObject({ held: true, upload: { offset: 0 } })
      expect(await b.record(next, 3)).toMatchObject({ upload: { offset: 3 } })
    })

    fact('a checkpoint that finds the claim gone tells its writer to stop', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft())
      const old = await claimed(a, upload)
      await bench.lapse(a)
      await claimed(b, upload)
      const told = aborted(old.yielded)
      await a.checkpoint([{ claim: old, stop: 6 }])
      await told
    })

    fact(
      'what it stored still counts while nobody took over: an outage of the database costs no bytes',
      async (stage) => {
        const { a } = stage
        const upload = await a.create(draft({ length: 5 }))
        const claim = await claimed(a, upload)
        await stage.bench.lapse(a)
        await stage.bench.thaw(a)
        await a.record(claim, stage.write(claim, 'hel'))
        expect(await found(a, upload)).toMatchObject({ offset: 3 })
      },
    )

    fact('a claim taken over without a recorded byte leaves no extent of the old blob', async (stage) => {
      const { a } = stage
      const b = await stage.bench.node()
      const upload = await a.create(draft({ length: 5 }))
      const old = await claimed(a, upload)
      stage.write(old, 'wrong')
      await stage.bench.lapse(a)
      await stage.append(upload, 'hello', b)
      expect(await stage.content(upload)).toBe('hello')
      expect(await b.extents(upload.id, null)).toHaveLength(1)
      expect(await b.unreferencedBlobs(10)).toEqual([old.blob])
    })

    fact('taken over again and again, the content stays in order', async (stage) => {
      let upload = await stage.a.create(draft({ length: 6 }))
      const zombies: (() => void)[] = []
      for (const letter of 'abcdef') {
        const node = await stage.bench.node()
        const claim = await claimed(node, upload)
        await node.checkpoint([{ claim, stop: stage.write(claim, letter) }])
        zombies.push(() => stage.write(claim, '??????', 1))
        await stage.bench.lapse(node)
        upload = (await found(stage.a, upload)) ?? upload
      }
      expect(await stage.a.record(await claimed(stage.a, upload), 6)).toMatchObject({ completed: true })
      for (const write of zombies) write()
      expect(await stage.content(upload)).toBe('abcdef')
    })

    fact(
      'the node goes on under a new epoch, and its late heartbeat revives nothing',
      async ({ a, bench }) => {
        const b = await bench.node()
        const upload = await a.create(draft())
        const old = await claimed(a, upload)
        const epoch = a.epoch
        await bench.lapse(a)
        const told = aborted(old.yielded)
        await bench.thaw(a)
        await told
        expect(a.epoch).not.toBe(epoch)
        expect(await b.find(upload.id, null)).toMatchObject({ held: false })
        const next = await claimed(b, upload)
        expect(next.blob.id).not.toBe(old.blob.id)
        expect(await codeOf(a.record(old, 4))).toBe('claim_lost')
      },
    )

    fact(
      'the node itself gets a new blob too, for its own writer may still be writing',
      async ({ a, bench }) => {
        const upload = await a.create(draft())
        const old = await claimed(a, upload)
        await bench.lapse(a)
        await bench.thaw(a)
        const next = await claimed(a, upload)
        expect(next.blob.id).not.toBe(old.blob.id)
        expect(next.blob.epoch).toBe(a.epoch)
        expect(
          await a.checkpoint([
            { claim: old, stop: 4 },
            { claim: next, stop: 2 },
          ]),
        ).toEqual([old.token])
        expect((await found(a, upload))?.offset).toBe(2)
      },
    )

    fact('of many that take over at once, one does', async ({ a, bench }) => {
      const [b, c] = await Promise.all([bench.node(), bench.node()])
      const upload = await a.create(draft())
      await claimed(a, upload)
      await bench.lapse(a)
      const claims = await Promise.all([b, c, b, c, b, c].map((node) => node.claim(claimOf(upload))))
      expect(claims.filter((claim) => claim !== null)).toHaveLength(1)
    })

    fact('a record and a take-over at the same moment: one of the two counts', async (stage) => {
      const [a, b] = [stage.a, await stage.bench.node()]
      for (let round = 0; round < 20; round++) {
        const upload = await a.create(draft({ length: 5 }))
        const old = await claimed(a, upload)
        stage.write(old, 'hel')
        await stage.bench.lapse(a)
        const [recorded, taken] = await Promise.allSettled([a.record(old, 3), b.claim(claimOf(upload))])
        if (recorded.status === 'rejected') expect(recorded.reason).toMatchObject({ code: 'claim_lost' })
        if (taken.status === 'rejected') expect(taken.reason).toMatchObject({ code: 'offset_mismatch' })
        expect(recorded.status).not.toBe(taken.status)
        await stage.bench.thaw(a)
      }
    })
  })
}
