import { describe, expect } from 'vitest'
import { partials } from './concatenating.js'
import { aborted, claimed, draft, type Fact, finalOf, found, ids } from './stage.js'

export function ending(fact: Fact): void {
  describe('terminating', () => {
    fact('removes the record, gives its blob away, and does so once', async (stage) => {
      const upload = await stage.stored('hello')
      const [extent] = (await stage.a.extents(upload.id, null)) ?? []
      expect(await stage.a.terminate(upload.id, null)).toEqual({
        upload,
        expiredFinals: [],
        unreferenced: [extent?.blob],
        published: null,
      })
      expect(await found(stage.a, upload)).toBeNull()
      expect(await stage.content(upload)).toBeNull()
      expect(await stage.a.terminate(upload.id, null)).toBeNull()
    })

    fact('an upload without bytes has no blob to give away', async ({ a }) => {
      const upload = await a.create(draft())
      expect(await a.terminate(upload.id, null)).toMatchObject({ unreferenced: [] })
    })

    fact('of many at once one does it', async (stage) => {
      const nodes = [stage.a, await stage.bench.node()]
      const upload = await stage.stored('hello')
      const outcomes = await Promise.all([...nodes, ...nodes].map((node) => node.terminate(upload.id, null)))
      expect(outcomes.filter((outcome) => outcome !== null)).toHaveLength(1)
    })

    fact('the bytes stay as long as a final has them', async (stage) => {
      const [x, y] = await partials(stage, 'x', 'y')
      const { upload: one } = await stage.a.concatenate(finalOf([x, y]))
      const { upload: two } = await stage.a.concatenate(finalOf([y, x]))
      for (const part of [x, y]) {
        expect(await stage.a.terminate(part.id, null)).toMatchObject({ unreferenced: [], expiredFinals: [] })
      }
      expect(await stage.content(one)).toBe('xy')
      expect(await stage.a.terminate(one.id, null)).toMatchObject({ unreferenced: [] })
      expect(await stage.content(two)).toBe('yx')
      expect((await stage.a.terminate(two.id, null))?.unreferenced).toHaveLength(2)
    })

    fact('two that give up the last two references at once do not both leave the blob', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 25; round++) {
        const [x] = await partials(stage, 'x')
        const { upload: final } = await stage.a.concatenate(finalOf([x]))
        const outcomes = await Promise.all([stage.a.terminate(x.id, null), b.terminate(final.id, null)])
        expect(outcomes.flatMap((outcome) => outcome?.unreferenced ?? [])).toHaveLength(1)
      }
    })

    fact('whoever writes is told to stop', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      const told = aborted(claim.yielded)
      expect(await b.terminate(upload.id, null)).toMatchObject({ unreferenced: [claim.blob] })
      await told
    })

    fact('an expired upload can be removed', async ({ a, bench }) => {
      const upload = await a.create(draft())
      await bench.makeDue(upload.id)
      await a.expireDue(10)
      expect(await a.terminate(upload.id, null)).toMatchObject({ upload: { id: upload.id } })
      expect(await found(a, upload)).toBeNull()
    })
  })

  describe('expiring', () => {
    fact('ends only what is due', async (stage) => {
      const { a } = stage
      const due = await a.create(draft())
      const later = await a.create(draft())
      await stage.bench.makeDue(due.id)
      const { uploads } = await a.expireDue(10)
      expect(uploads).toMatchObject([{ id: due.id, status: 'expired' }])
      expect(await found(a, due)).toMatchObject({ status: 'expired' })
      expect(await found(a, later)).toMatchObject({ status: 'in_progress' })
      expect(await a.expireDue(10)).toEqual({ uploads: [], unreferenced: [] })
    })

    fact('gives away the bytes of what ended', async (stage) => {
      const upload = await stage.stored('hel', { length: 5 })
      const { blob } = await claimed(stage.a, upload).then(async (claim) => {
        await stage.a.release(claim)
        return claim
      })
      await stage.bench.makeDue(upload.id)
      expect((await stage.a.expireDue(10)).unreferenced).toEqual([blob])
    })

    fact('what is due looks expired before any sweep', async (stage) => {
      const unfinished = await stage.a.create(draft())
      const part = await stage.partial('part')
      for (const upload of [unfinished, part]) {
        await stage.bench.makeDue(upload.id)
        expect(await found(stage.a, upload)).toMatchObject({ status: 'expired' })
        expect(await stage.content(upload)).toBeNull()
      }
    })

    fact('never while a living writer holds it; when that lapsed, it does', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft())
      await claimed(a, upload)
      await bench.makeDue(upload.id)
      expect(await found(b, upload)).toMatchObject({ status: 'in_progress' })
      expect((await b.expireDue(10)).uploads).toEqual([])
      await bench.lapse(a)
      expect(await found(b, upload)).toMatchObject({ status: 'expired' })
      expect(ids((await b.expireDue(10)).uploads)).toEqual([upload.id])
    })

    fact('a finished whole upload and a complete final have no end', async (stage) => {
      const whole = await stage.stored('whole')
      const { upload: final } = await stage.a.concatenate(finalOf([await stage.partial('part')]))
      expect([whole.expiresAt, final.expiresAt]).toEqual([null, null])
    })

    fact('a finished part ends; the finals made of it keep their bytes', async (stage) => {
      const [x, y] = await partials(stage, 'x', 'y')
      const { upload: final } = await stage.a.concatenate(finalOf([x]))
      for (const part of [x, y]) await stage.bench.makeDue(part.id)
      const { uploads, unreferenced } = await stage.a.expireDue(10)
      expect(ids(uploads)).toEqual(ids([x, y]))
      expect(unreferenced).toHaveLength(1)
      expect(await stage.content(final)).toBe('x')
      expect(await found(stage.a, final)).toMatchObject({ status: 'complete' })
    })

    fact('a finished part does not end while a final waits for its siblings', async (stage) => {
      const x = await stage.partial('x')
      const y = await stage.a.create(draft({ kind: 'partial', length: 1 }))
      const { upload: final } = await stage.a.concatenate(finalOf([x, y]))
      await stage.bench.makeDue(x.id)
      expect((await stage.a.expireDue(10)).uploads).toEqual([])
      expect(await found(stage.a, x)).toMatchObject({ status: 'complete' })
      await stage.append(y, 'y')
      expect(await stage.content(final)).toBe('xy')
    })

    fact('no more than asked for at a time', async ({ a, bench }) => {
      for (let count = 0; count < 5; count++) await bench.makeDue((await a.create(draft())).id)
      const counts = []
      for (let turn = 0; turn < 4; turn++) counts.push((await a.expireDue(2)).uploads.length)
      expect(counts).toEqual([2, 2, 1, 0])
    })

    fact('many sweepers at once end everything exactly once', async (stage) => {
      const nodes = [stage.a, await stage.bench.node()]
      const due = await Promise.all(Array.from({ length: 30 }, () => stage.stored('hel', { length: 5 })))
      for (const upload of due) await stage.bench.makeDue(upload.id)
      const ended: string[] = []
      const blobs = new Set<string>()
      const sweep = async (node: (typeof nodes)[number]) => {
        for (let turn = 0; turn < 20; turn++) {
          const { uploads, unreferenced } = await node.expireDue(4)
          ended.push(...ids(uploads))
          for (const { id } of unreferenced) blobs.add(id)
        }
      }
      await Promise.all([...nodes, ...nodes].map(sweep))
      expect(ended.sort()).toEqual(ids(due))
      expect(blobs.size).toBe(due.length)
    })

    fact('a claim and a sweep at the same moment: the claim holds, or it is refused', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 15; round++) {
        const upload = await stage.a.create(draft())
        await stage.bench.makeDue(upload.id)
        const [claim, swept] = await Promise.allSettled([claimed(stage.a, upload), b.expireDue(10)])
        expect(claim).toMatchObject({ status: 'rejected', reason: { code: 'upload_expired' } })
        expect(swept.status).toBe('fulfilled')
      }
    })
  })
}
