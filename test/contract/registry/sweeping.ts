import { randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import { claimed, claimOf, codeOf, draft, type Fact, ids } from './stage.js'

export function sweeping(fact: Fact): void {
  describe('blobs nothing refers to', () => {
    fact('are handed out until their rows are forgotten', async (stage) => {
      const one = await stage.stored('one')
      const two = await stage.stored('two')
      await stage.stored('three')
      expect(await stage.a.unreferencedBlobs(10)).toEqual([])
      const gone = []
      for (const upload of [one, two]) {
        gone.push(...((await stage.a.terminate(upload.id, null))?.unreferenced ?? []))
      }
      expect(ids(await stage.a.unreferencedBlobs(10))).toEqual(ids(gone))
      expect(await stage.a.unreferencedBlobs(1)).toHaveLength(1)
      await stage.a.forgetBlobs(gone.slice(0, 1))
      expect(ids(await stage.a.unreferencedBlobs(10))).toEqual(ids(gone.slice(1)))
      await stage.a.forgetBlobs(gone)
      await stage.a.forgetBlobs(gone)
      expect(await stage.a.unreferencedBlobs(10)).toEqual([])
    })

    fact('the row of a blob that is in use is never forgotten', async (stage) => {
      const upload = await stage.stored('hello')
      const [extent] = (await stage.a.extents(upload.id, null)) ?? []
      const blob = extent?.blob ?? { id: randomUUID(), epoch: 0 }
      await codeOf(stage.a.forgetBlobs([blob]))
      expect(await stage.content(upload)).toBe('hello')
      expect([...(await stage.a.knownBlobs(blob.epoch, [blob.id]))]).toEqual([blob.id])
    })

    fact('forgetting a blob that never had a row is no error', async ({ a }) => {
      await a.forgetBlobs([{ id: randomUUID(), epoch: a.epoch }])
      await a.forgetBlobs([])
    })
  })

  describe('epochs that are over', () => {
    fact('are retired once their lease lapsed, and swept once', async ({ a, bench }) => {
      const b = await bench.node()
      const { epoch } = a
      expect(await b.retireEpochs()).not.toContain(epoch)
      await bench.lapse(a)
      expect(await b.retireEpochs()).toContain(epoch)
      expect(await b.retireEpochs()).toContain(epoch)
      await b.epochSwept(epoch)
      expect(await b.retireEpochs()).not.toContain(epoch)
    })

    fact('a living epoch is never retired', async ({ a, bench }) => {
      const b = await bench.node()
      const retired = [...(await a.retireEpochs()), ...(await b.retireEpochs())]
      expect(retired).not.toContain(a.epoch)
      expect(retired).not.toContain(b.epoch)
    })

    fact('know which of their files have a row', async (stage) => {
      const { a } = stage
      const upload = await a.create(draft())
      const { blob } = await claimed(a, upload)
      const stray = randomUUID()
      expect([...(await a.knownBlobs(a.epoch, [blob.id, stray]))]).toEqual([blob.id])
      expect([...(await a.knownBlobs(a.epoch, []))]).toEqual([])
      expect([...(await a.knownBlobs(a.epoch + 1_000, [blob.id]))]).toEqual([])
    })

    fact('create nothing any more once retired', async ({ a, bench }) => {
      const b = await bench.node()
      const blob = { id: randomUUID(), epoch: a.epoch }
      await bench.lapse(a)
      await b.retireEpochs()
      const made = draft({ length: 5 })
      expect(await codeOf(a.createStored(made, blob, 5))).toBe('claim_lost')
      await bench.thaw(a)
      expect(await codeOf(a.createStored(made, blob, 5))).toBe('claim_lost')
      expect(await a.find(made.id, null)).toBeNull()
      expect([...(await b.knownBlobs(blob.epoch, [blob.id]))]).toEqual([])
    })

    fact('leave what their writers held to a new blob, even when swept', async (stage) => {
      const { a } = stage
      const b = await stage.bench.node()
      const upload = await a.create(draft({ length: 5 }))
      const old = await claimed(a, upload)
      await a.checkpoint([{ claim: old, stop: stage.write(old, 'he') }])
      await stage.bench.lapse(a)
      await b.retireEpochs()
      await b.epochSwept(old.blob.epoch)
      const next = await claimed(b, upload, { start: 2 })
      expect(next.blob.id).not.toBe(old.blob.id)
      await b.record(next, stage.write(next, 'llo'))
      stage.write(old, '???', 2)
      expect(await stage.content(upload)).toBe('hello')
    })

    fact('keep the blobs that have rows known', async (stage) => {
      const { a } = stage
      const b = await stage.bench.node()
      const upload = await stage.stored('hello')
      const [extent] = (await a.extents(upload.id, null)) ?? []
      const blob = extent?.blob ?? { id: '', epoch: 0 }
      await stage.bench.lapse(a)
      await b.retireEpochs()
      expect([...(await b.knownBlobs(blob.epoch, [blob.id]))]).toEqual([blob.id])
      expect(await stage.content(upload, b)).toBe('hello')
    })

    fact(
      'a body stored while its epoch is retired counts, or its file may go: never both',
      async ({ bench }) => {
        const sweeper = await bench.node()
        for (let round = 0; round < 15; round++) {
          const node = await bench.node()
          const blob = { id: randomUUID(), epoch: node.epoch }
          const made = draft({ length: 5 })
          const create = codeOf(node.createStored(made, blob, 5))
          await bench.lapse(node)
          const [code] = await Promise.all([create, sweeper.retireEpochs()])
          const known = (await sweeper.knownBlobs(blob.epoch, [blob.id])).has(blob.id)
          const upload = await sweeper.find(made.id, null)
          expect([code === 'none', known]).toEqual([upload !== null, upload !== null])
        }
      },
    )

    fact('a node that lives on may write under its new epoch', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft())
      await bench.lapse(a)
      await b.retireEpochs()
      await bench.thaw(a)
      const claim = await a.claim(claimOf(upload))
      expect(claim?.blob.epoch).toBe(a.epoch)
      expect(await b.retireEpochs()).not.toContain(a.epoch)
    })
  })

  describe('the database', () => {
    fact('answers', async ({ a }) => {
      await a.check()
    })
  })
}
