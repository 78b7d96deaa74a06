import { randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import { draft, type Fact, finalOf, finishOf, found } from './stage.js'

export function listing(fact: Fact): void {
  describe('one upload with its ranges', () => {
    fact('by ascending start, as they were received', async (stage) => {
      const upload = await stage.chunked(9)
      for (const start of [6, 0, 2]) await stage.chunk(upload, start, 'ab')
      await stage.chunk(upload, 6, 'abc')
      expect(await stage.a.describe(upload.id, null)).toEqual({
        upload: await found(stage.a, upload),
        received: [
          { start: 0, stop: 2 },
          { start: 2, stop: 4 },
          { start: 6, stop: 9 },
        ],
      })
    })

    fact('a tus upload has one, or none', async (stage) => {
      const upload = await stage.stored('abc', { length: 9 })
      const fresh = await stage.a.create(draft())
      expect(await stage.a.describe(upload.id, null)).toMatchObject({ received: [{ start: 0, stop: 3 }] })
      expect(await stage.a.describe(fresh.id, null)).toMatchObject({ received: [] })
    })

    fact('none once it is complete or expired, swept or not', async (stage) => {
      const complete = await stage.stored('abc')
      const due = await stage.chunked(9)
      await stage.chunk(due, 0, 'abc')
      await stage.bench.makeDue(due.id)
      expect(await stage.a.describe(complete.id, null)).toEqual({ upload: complete, received: [] })
      for (const _ of ['due', 'swept']) {
        const described = await stage.a.describe(due.id, null)
        expect(described).toMatchObject({ upload: { status: 'expired' }, received: [] })
        await stage.a.expireDue(10)
      }
    })

    fact('unknown and foreign ones are not there', async (stage) => {
      const upload = await stage.chunked(9, { owner: 'ann' })
      expect(await stage.a.describe(upload.id, 'bob')).toBeNull()
      expect(await stage.a.describe(upload.id, null)).toBeNull()
      expect(await stage.a.describe(randomUUID(), null)).toBeNull()
      expect(await stage.a.describe(upload.id, 'ann')).toMatchObject({ upload: { id: upload.id } })
    })
  })

  describe('the uploads of an owner', () => {
    fact('those complete, newest first, then the others as they were started', async (stage) => {
      const [w, x, y, z] = [
        await stage.chunked(3),
        await stage.chunked(3),
        await stage.a.create(draft({ filename: 'y' })),
        await stage.chunked(0),
      ]
      for (const upload of [x, w]) await stage.chunk(upload, 0, 'abc')
      await stage.a.complete(finishOf(x))
      await stage.a.complete(finishOf(z))
      const due = await stage.chunked(3)
      await stage.bench.makeDue(due.id)
      const listed = await stage.a.list(null, 10)
      expect(listed.map(({ upload }) => upload.id)).toEqual([z.id, x.id, w.id, y.id, due.id])
      expect(listed.map(({ received }) => received.length)).toEqual([0, 0, 1, 0, 0])
      expect(listed.map(({ upload }) => upload.status)).toEqual([
        'complete',
        'complete',
        'in_progress',
        'in_progress',
        'expired',
      ])
      expect(listed[2]).toEqual(await stage.a.describe(w.id, null))
    })

    fact('partials and unfinished finals stay out', async (stage) => {
      const x = await stage.partial('x')
      const y = await stage.a.create(draft({ kind: 'partial', length: 1 }))
      const { upload: final } = await stage.a.concatenate(finalOf([x]))
      await stage.a.concatenate(finalOf([x, y]))
      const whole = await stage.stored('whole')
      const listed = await stage.a.list(null, 10)
      expect(listed.map(({ upload }) => upload)).toEqual([whole, final])
    })

    fact('nobody sees those of another, and null is an owner like any other', async (stage) => {
      const owners = ['ann', 'bob', null]
      for (const owner of owners) await stage.a.create(draft({ owner }))
      for (const owner of owners) {
        expect(await stage.a.list(owner, 10)).toMatchObject([{ upload: { owner } }])
      }
      expect(await stage.a.list('', 10)).toEqual([])
    })

    fact('of each kind no more than asked for, and those the newest', async (stage) => {
      const complete = []
      const others = []
      for (let count = 0; count < 4; count++) {
        complete.push((await stage.stored('x')).id)
        others.push((await stage.a.create(draft())).id)
      }
      const listed = (await stage.a.list(null, 2)).map(({ upload }) => upload.id)
      expect(listed).toEqual([...complete.slice(2).reverse(), ...others.slice(2)])
    })

    fact('an owner of any length is one', async (stage) => {
      const owner = Array.from({ length: 500 }, () => randomUUID()).join()
      const upload = await stage.stored('x', { owner })
      expect(await stage.a.list(owner, 10)).toMatchObject([{ upload: { id: upload.id } }])
    })
  })

  describe('the beginning of an upload', () => {
    fact('ends where the first gap begins', async (stage) => {
      const upload = await stage.chunked(9)
      expect(await stage.a.prefix(upload.id)).toEqual({ stop: 0, extents: [] })
      await stage.chunk(upload, 6, 'ghi')
      await stage.chunk(upload, 0, 'abc')
      expect(await stage.beginning(upload)).toBe('abc')
      await stage.chunk(upload, 3, 'def')
      expect(await stage.beginning(upload)).toBe('abcdefghi')
    })

    fact('of a tus upload it is what was received, of a complete one the whole', async (stage) => {
      expect(await stage.beginning(await stage.stored('abc', { length: 9 }))).toBe('abc')
      expect(await stage.beginning(await stage.stored('abc'))).toBe('abc')
      const { upload: final } = await stage.a.concatenate(
        finalOf([await stage.partial('ab'), await stage.partial('c')]),
      )
      expect(await stage.beginning(final)).toBe('abc')
    })

    fact('is not there where the upload is gone or expired', async (stage) => {
      const [due, gone] = [await stage.chunked(3), await stage.chunked(3)]
      await stage.bench.makeDue(due.id)
      await stage.a.terminate(gone.id, null)
      expect(await stage.a.prefix(gone.id)).toBeNull()
      expect(await stage.a.prefix(due.id)).toBeNull()
      await stage.a.expireDue(10)
      expect(await stage.a.prefix(due.id)).toBeNull()
    })
  })
}
