import { describe, expect } from 'vitest'
import { claimed, claimOf, codeOf, draft, type Fact, finalOf, found } from './stage.js'

export function recording(fact: Fact): void {
  describe('recording', () => {
    fact('the recorded bytes are the offset, on every node', async (stage) => {
      const { a } = stage
      const upload = await a.create(draft({ length: 10 }))
      const claim = await claimed(a, upload)
      const recorded = await a.record(claim, stage.write(claim, 'hell'))
      expect(recorded).toMatchObject({ completed: false, completedFinals: [], upload: { offset: 4 } })
      expect(await found(await stage.bench.node(), upload)).toEqual(recorded.upload)
    })

    fact('the upload is complete when no byte is missing, and not before', async (stage) => {
      const { a } = stage
      let upload = await a.create(draft({ length: 5 }))
      for (const letter of 'hell') {
        upload = await stage.append(upload, letter)
        expect(upload).toMatchObject({ status: 'in_progress', completedAt: null })
        expect(await stage.content(upload)).toBeNull()
      }
      const claim = await claimed(a, upload)
      const recorded = await a.record(claim, stage.write(claim, 'o'))
      expect(recorded).toMatchObject({ completed: true, upload: { status: 'complete', offset: 5 } })
      expect(recorded.upload.completedAt).toBeInstanceOf(Date)
      expect(recorded.upload.expiresAt).toBeNull()
      expect(await stage.content(upload)).toBe('hello')
    })

    fact('a finished partial keeps a time to expire', async (stage) => {
      expect((await stage.partial('hello')).expiresAt).toBeInstanceOf(Date)
    })

    fact('a record without bytes ends the claim and changes nothing', async ({ a }) => {
      const upload = await a.create(draft())
      await a.record(await claimed(a, upload), 4)
      const before = await found(a, upload)
      const recorded = await a.record(await claimed(a, upload, { start: 4 }), 4)
      expect(recorded).toEqual({
        upload: before,
        unreferenced: [],
        completed: false,
        completedFinals: [],
      })
      expect(await a.find(upload.id, null)).toMatchObject({ held: false })
    })

    fact('a token holds once', async ({ a }) => {
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      await a.record(claim, 4)
      expect(await codeOf(a.record(claim, 6))).toBe('claim_lost')
      expect((await found(a, upload))?.offset).toBe(4)
    })

    fact('a record whose answer was lost is answered the same again', async (stage) => {
      const { a } = stage
      const part = await a.create(draft({ kind: 'partial', length: 6 }))
      const { upload: final } = await a.concatenate(finalOf([part, part]))
      const first = await claimed(a, part)
      const recorded = await a.record(first, stage.write(first, 'abc'))
      expect(await a.record(first, 3)).toEqual(recorded)
      const last = await claimed(a, part, { start: 3 })
      const completed = await a.record(last, stage.write(last, 'def'))
      expect(completed).toMatchObject({ completed: true, completedFinals: [{ id: final.id }] })
      expect(await a.record(last, 6)).toEqual(completed)
      expect(await codeOf(a.record(first, 3))).toBe('claim_lost')
      expect(await stage.content(final)).toBe('abcdefabcdef')
    })

    fact('a released claim records nothing, and may be released again', async ({ a }) => {
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      await a.release(claim)
      await a.release(claim)
      expect(await codeOf(a.record(claim, 6))).toBe('claim_lost')
      expect((await found(a, upload))?.offset).toBe(0)
    })

    fact('an old release does not end the claim of another', async ({ a, bench }) => {
      const b = await bench.node()
      const upload = await a.create(draft())
      const old = await claimed(a, upload)
      await a.release(old)
      await claimed(b, upload)
      await a.release(old)
      expect(await a.find(upload.id, null)).toMatchObject({ held: true })
    })

    fact('bytes of an upload that was removed are not found', async ({ a, bench }) => {
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      await (await bench.node()).terminate(upload.id, null)
      expect(await codeOf(a.record(claim, 4))).toBe('upload_not_found')
      await a.release(claim)
    })

    fact('recorded bytes put off the end of a tus upload', async ({ a, bench }) => {
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      await bench.makeDue(upload.id)
      const { upload: grown } = await a.record(claim, 4)
      expect(grown.status).toBe('in_progress')
      expect(Number(grown.expiresAt)).toBeGreaterThan(Number(upload.createdAt) + 1000)
      expect(await a.claim(claimOf(grown))).not.toBeNull()
    })

    fact('a record without bytes does not put it off', async ({ a, bench }) => {
      const upload = await a.create(draft())
      const claim = await claimed(a, upload)
      await bench.makeDue(upload.id)
      await a.record(claim, 0)
      expect((await found(a, upload))?.status).toBe('expired')
    })

    fact('nothing puts off the end of a frago upload', async ({ a, bench }) => {
      const upload = await a.create(draft({ protocol: 'frago' }))
      const claim = await claimed(a, upload, { start: 0, stop: 4 })
      await bench.makeDue(upload.id)
      await a.record(claim, 4)
      expect((await found(a, upload))?.status).toBe('expired')
    })
  })

  describe('checkpoints', () => {
    fact('progress of many claims is visible at once, and ends none of them', async ({ a }) => {
      const uploads = await Promise.all(Array.from({ length: 20 }, () => a.create(draft({ length: 100 }))))
      const claims = await Promise.all(uploads.map((upload) => claimed(a, upload)))
      const progress = claims.map((claim, index) => ({ claim, stop: index + 1 }))
      expect(await a.checkpoint(progress)).toEqual([])
      for (const [index, upload] of uploads.entries()) {
        expect(await a.find(upload.id, null)).toMatchObject({ held: true, upload: { offset: index + 1 } })
      }
      const { upload } = await a.record(claims[0] ?? neverClaimed(), 50)
      expect(upload.offset).toBe(50)
    })

    fact('the tokens that no longer hold are told, the others recorded', async ({ a, bench }) => {
      const uploads = await Promise.all([1, 2, 3].map(() => a.create(draft())))
      const claims = await Promise.all(uploads.map((upload) => claimed(a, upload)))
      await a.release(claims[0] ?? neverClaimed())
      await (await bench.node()).terminate(uploads[1]?.id ?? '', null)
      const lost = await a.checkpoint(claims.map((claim) => ({ claim, stop: 3 })))
      expect([...lost].sort()).toEqual([claims[0]?.token, claims[1]?.token].sort())
      expect(await found(a, uploads[0] ?? neverClaimed())).toMatchObject({ offset: 0 })
      expect(await found(a, uploads[2] ?? neverClaimed())).toMatchObject({ offset: 3 })
    })

    fact('nothing to say is said', async ({ a }) => {
      expect(await a.checkpoint([])).toEqual([])
    })

    fact('a checkpoint completes nothing, even with the last byte; the record does', async (stage) => {
      const { a } = stage
      const part = await a.create(draft({ kind: 'partial', length: 5 }))
      const { upload: final } = await a.concatenate(finalOf([part]))
      const claim = await claimed(a, part)
      await a.checkpoint([{ claim, stop: stage.write(claim, 'hello') }])
      expect(await found(a, part)).toMatchObject({ status: 'in_progress' })
      expect(await found(a, final)).toMatchObject({ status: 'in_progress' })
      const recorded = await a.record(claim, 5)
      expect(recorded).toMatchObject({ completed: true, completedFinals: [{ id: final.id }] })
      expect(await stage.content(final)).toBe('hello')
    })

    fact('whoever goes on after a last checkpoint completes the upload without new bytes', async (stage) => {
      const { a } = stage
      const upload = await a.create(draft({ length: 5 }))
      const claim = await claimed(a, upload)
      await a.checkpoint([{ claim, stop: stage.write(claim, 'hello') }])
      await a.release(claim)
      const next = await claimed(a, upload, { start: 5 })
      expect(await a.record(next, 5)).toMatchObject({ completed: true, upload: { status: 'complete' } })
      expect(await stage.content(upload)).toBe('hello')
    })
  })
}

function neverClaimed(): never {
  throw new Error('there is no such claim')
}
