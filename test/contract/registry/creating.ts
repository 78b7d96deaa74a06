import { randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import { claimed, codeOf, draft, EXPIRATION, type Fact, finalOf, found } from './stage.js'

export function creating(fact: Fact): void {
  describe('creating and finding', () => {
    fact('an upload is found as it was created', async ({ a }) => {
      const facts = { owner: 'ann', length: 7, metadata: 'filename d29ybGQ=', filename: 'wörld.txt' }
      const made = draft({ kind: 'partial', ...facts })
      const created = await a.create(made)
      expect(created).toMatchObject({ ...made, status: 'in_progress', offset: 0, digest: null })
      expect(created).toMatchObject({ completedAt: null, partNames: null })
      expect(await a.find(made.id, 'ann')).toEqual({ upload: created, held: false })
    })

    fact('another node finds it at once', async ({ a, bench }) => {
      const created = await a.create(draft())
      expect(await found(await bench.node(), created)).toEqual(created)
    })

    fact('a new upload expires when it is left alone', async ({ a }) => {
      const { createdAt, expiresAt } = await a.create(draft())
      expect(Number(expiresAt) - Number(createdAt)).toBeGreaterThan(EXPIRATION - 5_000)
      expect(Number(expiresAt) - Number(createdAt)).toBeLessThan(EXPIRATION + 5_000)
    })

    fact('an unknown upload is null', async ({ a }) => {
      expect(await a.find(randomUUID(), null)).toBeNull()
      expect(await a.extents(randomUUID(), null)).toBeNull()
      expect(await a.terminate(randomUUID(), null)).toBeNull()
    })

    fact('an upload of another owner does not exist, and null is an owner like any other', async ({ a }) => {
      const owners = ['ann', 'bob', null]
      for (const owner of owners) {
        const upload = await a.create(draft({ owner, length: 0 }))
        for (const other of owners.filter((each) => each !== owner)) {
          expect(await a.find(upload.id, other)).toBeNull()
          expect(await a.extents(upload.id, other)).toBeNull()
          expect(await a.terminate(upload.id, other)).toBeNull()
          expect(await codeOf(claimed(a, { ...upload, owner: other }))).toBe('upload_not_found')
        }
        expect(await found(a, upload)).toEqual(upload)
      }
    })

    fact('an upload of length 0 is complete at once, without extents', async ({ a }) => {
      const upload = await a.create(draft({ length: 0 }))
      expect(upload).toMatchObject({ status: 'complete', offset: 0, length: 0, expiresAt: null })
      expect(upload.completedAt).toBeInstanceOf(Date)
      expect(await a.extents(upload.id, null)).toEqual([])
    })

    fact('a partial upload of length 0 is complete, and expires', async ({ a }) => {
      const upload = await a.create(draft({ kind: 'partial', length: 0 }))
      expect(upload.status).toBe('complete')
      expect(upload.expiresAt).toBeInstanceOf(Date)
    })

    fact('the largest length and offset are kept exactly', async ({ a }) => {
      const length = Number.MAX_SAFE_INTEGER
      const upload = await a.create(draft({ length }))
      expect((await found(a, upload))?.length).toBe(length)
      const { upload: grown } = await a.record(await claimed(a, upload), length - 1)
      expect(grown.offset).toBe(length - 1)
    })

    fact('text that only looks like SQL or JSON is kept as it is', async ({ a }) => {
      const odd = `'; drop table uploads; -- ?$1 {"a":1} \\ 🦦`
      const upload = await a.create(draft({ owner: odd, metadata: odd, filename: odd }))
      expect(await found(a, upload)).toMatchObject({ owner: odd, metadata: odd, filename: odd })
    })
  })

  describe('creating with bytes that are already stored', () => {
    fact('all of them: the upload is complete and readable', async (stage) => {
      const upload = await stage.stored('hello')
      expect(upload).toMatchObject({ status: 'complete', offset: 5, length: 5, expiresAt: null })
      expect(await stage.content(upload)).toBe('hello')
    })

    fact('less than all: the next claim goes on in the same blob', async (stage) => {
      const upload = await stage.stored('hel', { length: 5 })
      expect(upload).toMatchObject({ status: 'in_progress', offset: 3, length: 5, completedAt: null })
      const claim = await claimed(stage.a, upload)
      expect(claim).toMatchObject({ start: 3, blobOffset: 3, fresh: false, length: 5 })
      await stage.a.record(claim, stage.write(claim, 'lo'))
      expect(await stage.content(upload)).toBe('hello')
      expect(await stage.a.extents(upload.id, null)).toHaveLength(1)
    })

    fact('of a deferred length: the upload stays open', async (stage) => {
      const upload = await stage.stored('hello', { length: null })
      expect(upload).toMatchObject({ status: 'in_progress', offset: 5, length: null })
      expect(await stage.content(upload)).toBeNull()
    })

    fact('none, because the disk was full: the upload goes on at 0', async (stage) => {
      const upload = await stage.stored('', { length: 5 })
      expect(upload).toMatchObject({ status: 'in_progress', offset: 0 })
      expect(await stage.append(upload, 'hello')).toMatchObject({ status: 'complete' })
      expect(await stage.content(upload)).toBe('hello')
    })

    fact('a finished part of them can be used in a final', async (stage) => {
      const part = await stage.partial('hello')
      const { upload } = await stage.a.concatenate(finalOf([part]))
      expect(await stage.content(upload)).toBe('hello')
    })

    fact('under a lapsed epoch nothing is created', async ({ a, bench }) => {
      const blob = { id: randomUUID(), epoch: a.epoch }
      await bench.lapse(a)
      const made = draft({ length: 5 })
      expect(await codeOf(a.createStored(made, blob, 5))).toBe('claim_lost')
      expect(await a.find(made.id, null)).toBeNull()
      expect([...(await a.knownBlobs(blob.epoch, [blob.id]))]).toEqual([])
    })

    fact('under the new epoch of a node that had lapsed, it works again', async (stage) => {
      await stage.bench.lapse(stage.a)
      await stage.bench.thaw(stage.a)
      expect(await stage.stored('hello')).toMatchObject({ status: 'complete' })
    })
  })
}
