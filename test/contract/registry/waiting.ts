import { describe, expect } from 'vitest'
import type { Recorded } from '../../../src/upload/ports.js'
import { MAX_LENGTH } from '../../../src/upload/upload.js'
import { partials } from './concatenating.js'
import { claimed, claimOf, codeOf, draft, type Fact, finalOf, found, ids } from './stage.js'

/** Races are run this often, because one round proves little. */
const ROUNDS = 25

export function waiting(fact: Fact): void {
  describe('a final that waits for its parts', () => {
    fact('is in progress and has no content', async (stage) => {
      const x = await stage.partial('x')
      const y = await stage.a.create(draft({ kind: 'partial', length: 3 }))
      const { upload, repeated } = await stage.a.concatenate(finalOf([x, y]))
      expect(repeated).toBe(false)
      expect(upload).toMatchObject({ status: 'in_progress', length: 4, completedAt: null, expiresAt: null })
      expect(await stage.content(upload)).toBeNull()
      expect(await stage.a.takeAssembly()).toBeNull()
    })

    fact('has a length only when all parts have one', async (stage) => {
      const x = await stage.partial('x')
      const y = await stage.a.create(draft({ kind: 'partial', length: null }))
      const { upload } = await stage.a.concatenate(finalOf([x, y, y]))
      expect(upload.length).toBeNull()
      await stage.a.release(await claimed(stage.a, y, { declaredLength: 3 }))
      expect(await found(stage.a, upload)).toMatchObject({ length: 7, status: 'in_progress' })
    })

    fact('keeps its limit when its parts get their lengths later', async (stage) => {
      const { a } = stage
      const deferred = () => a.create(draft({ kind: 'partial', length: null }))
      const [x, y, z] = [await deferred(), await deferred(), await deferred()]
      const { upload } = await a.concatenate(finalOf([x, y], { maxSize: 10 }))
      await a.concatenate(finalOf([z, z]))
      await a.release(await claimed(a, x, { declaredLength: 4 }))
      expect(await codeOf(a.claim(claimOf(y, { declaredLength: 7 })))).toBe('size_exceeded')
      expect((await found(a, y))?.length).toBeNull()
      await a.release(await claimed(a, y, { declaredLength: 6 }))
      expect(await found(a, upload)).toMatchObject({ length: 10 })
      const half = (MAX_LENGTH + 1) / 2
      expect(await codeOf(a.claim(claimOf(z, { declaredLength: half })))).toBe('size_exceeded')
      await a.release(await claimed(a, z, { declaredLength: half - 1 }))
    })

    fact('that is completed at last gives all its parts time again', async (stage) => {
      const { a } = stage
      const early = await stage.partial('x')
      const late = await a.create(draft({ kind: 'partial', length: 1 }))
      await a.concatenate(finalOf([early, late]))
      await stage.bench.makeDue(early.id)
      expect(await found(a, early)).toMatchObject({ status: 'complete' })
      await stage.append(late, 'y')
      expect(await found(a, early)).toMatchObject({ status: 'complete' })
      expect((await a.expireDue(10)).uploads).toEqual([])
    })

    fact('is completed by the record that completes its last part, which says so', async (stage) => {
      const x = await stage.a.create(draft({ kind: 'partial', length: 2 }))
      const y = await stage.a.create(draft({ kind: 'partial', length: 2 }))
      const { upload: final } = await stage.a.concatenate(finalOf([y, x, y]))
      const first = await claimed(stage.a, x)
      const second = await claimed(stage.a, y)
      const one = await stage.a.record(first, stage.write(first, 'xx'))
      expect(one).toMatchObject({ completed: true, completedFinals: [] })
      const two = await stage.a.record(second, stage.write(second, 'yy'))
      expect(two).toMatchObject({ completed: true, completedFinals: [{ id: final.id, status: 'complete' }] })
      expect(two.completedFinals).toEqual([await found(stage.a, final)])
      expect(two.completedFinals[0]).toMatchObject({ length: 6, offset: 6, expiresAt: null })
      expect(await stage.content(final)).toBe('yyxxyy')
    })

    fact('several finals may wait for the same part', async (stage) => {
      const x = await stage.partial('x')
      const y = await stage.a.create(draft({ kind: 'partial', length: 1 }))
      const finals = []
      for (const parts of [[x, y], [y, x], [y]])
        finals.push((await stage.a.concatenate(finalOf(parts))).upload)
      const claim = await claimed(stage.a, y)
      const { completedFinals } = await stage.a.record(claim, stage.write(claim, 'y'))
      expect(ids(completedFinals)).toEqual(ids(finals))
      expect(await Promise.all(finals.map((final) => stage.content(final)))).toEqual(['xy', 'yx', 'y'])
    })

    fact('parts that were taken over by another node come in order, too', async (stage) => {
      const b = await stage.bench.node()
      const x = await stage.a.create(draft({ kind: 'partial', length: 4 }))
      const { upload: final } = await stage.a.concatenate(finalOf([x, x]))
      const old = await claimed(stage.a, x)
      await stage.a.checkpoint([{ claim: old, stop: stage.write(old, 'ab') }])
      await stage.bench.lapse(stage.a)
      const next = await claimed(b, x, { start: 2 })
      await b.record(next, stage.write(next, 'cd'))
      stage.write(old, '????', 2)
      expect(await stage.content(final, b)).toBe('abcdabcd')
    })

    fact('two parts finished at the same moment complete it exactly once', async (stage) => {
      const nodes = [stage.a, await stage.bench.node()]
      for (let round = 0; round < ROUNDS; round++) {
        const parts = await Promise.all(
          nodes.map((node) => node.create(draft({ kind: 'partial', length: 1 }))),
        )
        const { upload: final } = await stage.a.concatenate(finalOf(parts))
        const finish = nodes.map(async (node, index) => {
          const claim = await claimed(node, parts[index] ?? final)
          return () => node.record(claim, stage.write(claim, String(index)))
        })
        const records = await Promise.all(finish)
        const recorded: Recorded[] = await Promise.all(records.map((record) => record()))
        expect(ids(recorded.flatMap(({ completedFinals }) => completedFinals))).toEqual([final.id])
        expect(await stage.content(final)).toBe('01')
      }
    })

    fact('two finals over the same parts in opposite order do not block each other', async (stage) => {
      const nodes = [stage.a, await stage.bench.node()]
      for (let round = 0; round < ROUNDS; round++) {
        const parts = await Promise.all(
          nodes.map((node) => node.create(draft({ kind: 'partial', length: 1 }))),
        )
        const one = await stage.a.concatenate(finalOf(parts))
        const two = await stage.a.concatenate(finalOf([...parts].reverse()))
        const claims = await Promise.all(
          nodes.map((node, index) => claimed(node, parts[index] ?? one.upload)),
        )
        const records = await Promise.all(claims.map((claim, index) => nodes[index]?.record(claim, 1)))
        const finals = records.flatMap((recorded) => recorded?.completedFinals ?? [])
        expect(ids(finals)).toEqual(ids([one.upload, two.upload]))
      }
    })

    fact('a part finished while the final is being made is never missed', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < ROUNDS; round++) {
        const [x] = await partials(stage, 'x')
        const y = await stage.a.create(draft({ kind: 'partial', length: 1 }))
        const claim = await claimed(stage.a, y)
        stage.write(claim, 'y')
        const [recorded, made] = await Promise.all([stage.a.record(claim, 1), b.concatenate(finalOf([x, y]))])
        const completedBy = [made.upload.status === 'complete', recorded.completedFinals.length === 1]
        expect(completedBy.filter(Boolean)).toHaveLength(1)
        expect(await stage.content(made.upload)).toBe('xy')
      }
    })

    fact('ends when a part of it is removed, and is told once', async (stage) => {
      const [x] = await partials(stage, 'x')
      const y = await stage.a.create(draft({ kind: 'partial' }))
      const { upload: final } = await stage.a.concatenate(finalOf([x, y, x]))
      const first = await stage.a.terminate(x.id, null)
      expect(first?.expiredFinals).toMatchObject([{ id: final.id, status: 'expired' }])
      const second = await stage.a.terminate(y.id, null)
      expect(second?.expiredFinals).toEqual([])
      expect(await found(await stage.bench.node(), final)).toMatchObject({ status: 'expired' })
      expect(await stage.content(final)).toBeNull()
    })

    fact('ends when a part of it expires, and is told once, with it', async (stage) => {
      const y = await stage.a.create(draft({ kind: 'partial' }))
      const z = await stage.a.create(draft({ kind: 'partial' }))
      const { upload: final } = await stage.a.concatenate(finalOf([y, z]))
      await stage.bench.makeDue(y.id)
      await stage.bench.makeDue(z.id)
      const first = await stage.a.expireDue(10)
      const second = await stage.a.expireDue(10)
      expect(ids([...first.uploads, ...second.uploads])).toEqual(ids([y, z, final]))
      expect(await found(stage.a, final)).toMatchObject({ status: 'expired' })
    })

    fact('an ended final keeps its names, gives up its key and can be removed', async (stage) => {
      const [x, y] = await partials(stage, 'x', 'y')
      const z = await stage.a.create(draft({ kind: 'partial', length: 1 }))
      const { upload: final } = await stage.a.concatenate(finalOf([x, y, z]))
      await stage.a.terminate(z.id, null)
      expect(await found(stage.a, final)).toMatchObject({ partNames: final.partNames })
      expect(await stage.a.terminate(final.id, null)).toMatchObject({
        upload: { id: final.id },
        unreferenced: [],
      })
      expect(await found(stage.a, final)).toBeNull()
    })

    fact('one part finished and another removed at the same moment: it ends in one way', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < ROUNDS; round++) {
        const y = await stage.a.create(draft({ kind: 'partial', length: 1 }))
        const z = await stage.partial('z')
        const { upload: final } = await stage.a.concatenate(finalOf([y, z]))
        const claim = await claimed(stage.a, y)
        stage.write(claim, 'y')
        const [recorded, ended] = await Promise.all([stage.a.record(claim, 1), b.terminate(z.id, null)])
        const told = [...recorded.completedFinals, ...(ended?.expiredFinals ?? [])]
        expect(ids(told)).toEqual([final.id])
        expect(await found(stage.a, final)).toMatchObject({ status: told[0]?.status })
        expect(await stage.content(final)).toBe(told[0]?.status === 'complete' ? 'yz' : null)
      }
    })

    fact('removing the final leaves its parts alone', async (stage) => {
      const x = await stage.a.create(draft({ kind: 'partial', length: 1 }))
      const { upload: final } = await stage.a.concatenate(finalOf([x]))
      expect((await stage.a.terminate(final.id, null))?.expiredFinals).toEqual([])
      const claim = await claimed(stage.a, x)
      expect(await stage.a.record(claim, stage.write(claim, 'x'))).toMatchObject({
        completed: true,
        completedFinals: [],
      })
    })
  })
}
