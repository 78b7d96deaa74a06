import { randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import type { UploadRegistry } from '../../../src/upload/ports.js'
import type { Upload } from '../../../src/upload/upload.js'
import { codeOf, draft, type Fact, finalOf, found, ids, type Stage } from './stage.js'

export function concatenating(fact: Fact): void {
  describe('concatenating', () => {
    fact('finished parts make a final that can be read at once, in the order named', async (stage) => {
      const [x, y, z] = await partials(stage, 'one ', 'two ', 'three')
      const made = finalOf([z, x, y], { metadata: 'filename bnVtYmVycw==', filename: 'numbers' })
      const { upload, repeated } = await stage.a.concatenate(made)
      expect(repeated).toBe(false)
      expect(upload).toMatchObject({ id: made.id, kind: 'final', protocol: 'tus', status: 'complete' })
      expect(upload).toMatchObject({ length: 13, offset: 13, expiresAt: null, filename: 'numbers' })
      expect(upload).toMatchObject({ metadata: made.metadata, partNames: made.parts.map(({ name }) => name) })
      expect(upload.completedAt).toBeInstanceOf(Date)
      expect(await stage.content(upload)).toBe('threeone two ')
      expect(await found(await stage.bench.node(), upload)).toEqual(upload)
    })

    fact('parts without bytes take their place without extents', async (stage) => {
      const [x, y] = await partials(stage, 'left', 'right')
      const empty = await stage.a.create(draft({ kind: 'partial', length: 0 }))
      const { upload } = await stage.a.concatenate(finalOf([empty, x, empty, y, empty]))
      expect(upload).toMatchObject({ status: 'complete', length: 9 })
      expect(await stage.content(upload)).toBe('leftright')
    })

    fact('a final of empty parts only is empty and complete', async (stage) => {
      const empty = await stage.a.create(draft({ kind: 'partial', length: 0 }))
      const { upload } = await stage.a.concatenate(finalOf([empty, empty]))
      expect(upload).toMatchObject({ status: 'complete', length: 0, offset: 0 })
      expect(await stage.content(upload)).toBe('')
      expect(await stage.a.takeAssembly()).toBeNull()
    })

    fact('the same part may stand twice', async (stage) => {
      const [x, y] = await partials(stage, 'la', 'lu')
      const { upload } = await stage.a.concatenate(finalOf([x, y, x, x]))
      expect(await stage.content(upload)).toBe('lalulala')
    })

    fact('the same request is known by what was sent, whatever a hook made of it', async (stage) => {
      const [x, y] = await partials(stage, 'ab', 'cd')
      const made = finalOf([x, y], { sent: 'a YQ==', metadata: 'a YQ==,stamp MQ==' })
      expect(await stage.a.findFinal(made)).toBeNull()
      const { upload } = await stage.a.concatenate(made)
      expect(await stage.a.findFinal(made)).toEqual(upload)
      for (const other of [{ sent: null }, { owner: 'somebody' }, { parts: made.parts.toReversed() }]) {
        expect(await stage.a.findFinal({ ...made, ...other })).toBeNull()
      }
      const again = finalOf([x, y], { sent: 'a YQ==', metadata: 'a YQ==,stamp Mg==' })
      expect(await stage.a.concatenate(again)).toEqual({ upload, repeated: true })
      await stage.a.terminate(upload.id, null)
      expect(await stage.a.findFinal(made)).toBeNull()
    })

    fact('two finals may use the same parts', async (stage) => {
      const [x, y] = await partials(stage, 'ab', 'cd')
      const { upload: first } = await stage.a.concatenate(finalOf([x, y]))
      const { upload: second } = await stage.a.concatenate(finalOf([y, x]))
      expect(await stage.content(first)).toBe('abcd')
      expect(await stage.content(second)).toBe('cdab')
      expect(await stage.content(x)).toBe('ab')
    })

    fact('a part written by several nodes in turn is one part', async (stage) => {
      const b = await stage.bench.node()
      let part = await stage.a.create(draft({ kind: 'partial', length: 4 }))
      part = await stage.append(part, 'ab')
      part = await stage.append(part, 'cd', b)
      const { upload } = await b.concatenate(finalOf([part, part]))
      expect(await stage.content(upload)).toBe('abcdabcd')
    })

    fact('500 parts are no trouble', async (stage) => {
      const texts = Array.from({ length: 500 }, (_, index) => `${index};`)
      const parts: Upload[] = []
      for (let from = 0; from < texts.length; from += 25) {
        parts.push(...(await partials(stage, ...texts.slice(from, from + 25))))
      }
      const { upload } = await stage.a.concatenate(finalOf(parts))
      expect(upload.status).toBe('complete')
      expect(upload.partNames).toHaveLength(500)
      expect(await stage.content(upload)).toBe(texts.join(''))
    })

    fact('a part that is unknown, or of another owner, is not found', async (stage) => {
      const mine = await stage.partial('mine', { owner: 'ann' })
      const theirs = await stage.partial('theirs', { owner: 'bob' })
      const nobodys = await stage.partial('nobodys')
      for (const other of [theirs, nobodys, { id: randomUUID() }]) {
        expect(await codeOf(stage.a.concatenate(finalOf([mine, other], { owner: 'ann' })))).toBe(
          'part_not_found',
        )
      }
      expect(await codeOf(stage.a.concatenate(finalOf([mine])))).toBe('part_not_found')
    })

    fact('only partial uploads are parts', async (stage) => {
      const part = await stage.partial('part')
      const whole = await stage.stored('whole')
      const { upload: final } = await stage.a.concatenate(finalOf([part]))
      for (const other of [whole, final]) {
        expect(await codeOf(stage.a.concatenate(finalOf([part, other])))).toBe('part_not_partial')
      }
    })

    fact('a part that is due is no part any more, swept or not', async (stage) => {
      const finished = await stage.partial('finished')
      const unfinished = await stage.a.create(draft({ kind: 'partial' }))
      for (const part of [finished, unfinished]) {
        await stage.bench.makeDue(part.id)
        expect(await codeOf(stage.a.concatenate(finalOf([part])))).toBe('part_expired')
      }
      await stage.a.expireDue(10)
      for (const part of [finished, unfinished]) {
        expect(await codeOf(stage.a.concatenate(finalOf([part])))).toBe('part_expired')
      }
    })

    fact('a refused final leaves nothing behind', async (stage) => {
      const part = await stage.partial('part')
      const made = finalOf([part, { id: randomUUID() }])
      expect(await codeOf(stage.a.concatenate(made))).toBe('part_not_found')
      expect(await stage.a.find(made.id, null)).toBeNull()
      expect(await stage.a.concatenate(finalOf([part]))).toMatchObject({ repeated: false })
    })

    fact('a final may have as many bytes as allowed, and not one more', async (stage) => {
      const [x, y] = await partials(stage, 'four', 'four')
      expect(await codeOf(stage.a.concatenate(finalOf([x, y], { maxSize: 7 })))).toBe('size_exceeded')
      expect(await stage.a.concatenate(finalOf([x, y], { maxSize: 8 }))).toMatchObject({ repeated: false })
    })

    fact('a final beyond the largest number is refused', async ({ a }) => {
      const part = await a.create(draft({ kind: 'partial', length: Number.MAX_SAFE_INTEGER }))
      const one = await a.create(draft({ kind: 'partial', length: 1 }))
      expect(await codeOf(a.concatenate(finalOf([part, one])))).toBe('size_exceeded')
      expect(await codeOf(a.concatenate(finalOf([part, part, part])))).toBe('size_exceeded')
    })

    fact('using a finished part puts off its end', async (stage) => {
      const [x, y] = await partials(stage, 'x', 'y')
      await stage.a.concatenate(finalOf([x, await stage.a.create(draft({ kind: 'partial' }))]))
      await stage.bench.makeDue(x.id)
      await stage.a.concatenate(finalOf([x, y]))
      expect(Number((await found(stage.a, x))?.expiresAt)).toBeGreaterThan(Number(x.createdAt) + 1000)
    })
  })

  describe('the same final again', () => {
    fact('gives the upload of the first time, on any node', async (stage) => {
      const [x, y] = await partials(stage, 'x', 'y')
      const { upload } = await stage.a.concatenate(finalOf([x, y], { metadata: 'a YQ==' }))
      const b = await stage.bench.node()
      expect(await b.concatenate(finalOf([x, y], { metadata: 'a YQ==' }))).toEqual({ upload, repeated: true })
    })

    fact('even after its parts are gone or expired', async (stage) => {
      const [x, y] = await partials(stage, 'x', 'y')
      const { upload } = await stage.a.concatenate(finalOf([x, y]))
      await stage.a.terminate(x.id, null)
      await stage.bench.makeDue(y.id)
      await stage.a.expireDue(10)
      expect(await stage.a.concatenate(finalOf([x, y]))).toEqual({ upload, repeated: true })
    })

    fact('while it waits, too', async (stage) => {
      const part = await stage.a.create(draft({ kind: 'partial' }))
      const { upload } = await stage.a.concatenate(finalOf([part]))
      expect(await stage.a.concatenate(finalOf([part]))).toEqual({ upload, repeated: true })
    })

    fact('names of parts do not matter, only which parts they are', async (stage) => {
      const part = await stage.partial('x')
      const { upload } = await stage.a.concatenate(finalOf([part]))
      const parts = [{ id: part.id, name: `https://example.org/files/${part.id}` }]
      expect(await stage.a.concatenate(finalOf([part], { parts }))).toMatchObject({
        upload: { id: upload.id, partNames: [`/files/${part.id}`] },
        repeated: true,
      })
    })

    fact('another order, number of parts or metadata is another final', async (stage) => {
      const [x, y] = await partials(stage, 'x', 'y')
      const outcomes = [
        await stage.a.concatenate(finalOf([x, y])),
        await stage.a.concatenate(finalOf([y, x])),
        await stage.a.concatenate(finalOf([x, y, y])),
        await stage.a.concatenate(finalOf([x, y], { metadata: '' })),
        await stage.a.concatenate(finalOf([x, y], { metadata: 'a' })),
        await stage.a.concatenate(finalOf([x, y], { metadata: 'A' })),
      ]
      expect(outcomes.map(({ repeated }) => repeated)).toEqual(outcomes.map(() => false))
      expect(new Set(outcomes.map(({ upload }) => upload.id)).size).toBe(outcomes.length)
    })

    fact(
      'another owner asks for something else, and a null owner is not an owner called null',
      async (stage) => {
        const part = await stage.partial('x', { owner: 'ann' })
        await stage.a.concatenate(finalOf([part], { owner: 'ann' }))
        for (const owner of ['bob', 'null', '', null]) {
          expect(await codeOf(stage.a.concatenate(finalOf([part], { owner })))).toBe('part_not_found')
        }
      },
    )

    fact('after the final was removed it is made anew', async (stage) => {
      const part = await stage.partial('x')
      const { upload } = await stage.a.concatenate(finalOf([part]))
      await stage.a.terminate(upload.id, null)
      const again = await stage.a.concatenate(finalOf([part]))
      expect(again.repeated).toBe(false)
      expect(await stage.content(again.upload)).toBe('x')
    })

    fact('of many at the same moment one makes it, and all get it', async (stage) => {
      const nodes = [stage.a, await stage.bench.node()]
      for (let round = 0; round < 10; round++) {
        const parts = await partials(stage, 'x', 'y')
        const calls = Array.from({ length: 8 }, (_, index) => concatenate(nodes, index, parts))
        const outcomes = await Promise.all(calls)
        expect(outcomes.filter(({ repeated }) => !repeated)).toHaveLength(1)
        expect(new Set(ids(outcomes.map(({ upload }) => upload))).size).toBe(1)
      }
    })

    fact('finals over the same parts in all orders do not get in each other’s way', async (stage) => {
      const nodes = [stage.a, await stage.bench.node()]
      for (let round = 0; round < 10; round++) {
        const [x, y, z] = await partials(stage, 'x', 'y', 'z')
        const orders = [
          [x, y, z],
          [z, y, x],
          [y, x, z],
          [z, x, y],
        ]
        const outcomes = await Promise.all(orders.map((parts, index) => concatenate(nodes, index, parts)))
        const texts = await Promise.all(outcomes.map(({ upload }) => stage.content(upload)))
        expect(texts).toEqual(['xyz', 'zyx', 'yxz', 'zxy'])
      }
    })
  })
}

function concatenate(nodes: readonly UploadRegistry[], index: number, parts: readonly Upload[]) {
  const node = nodes[index % nodes.length]
  if (node === undefined) throw new Error('there is no node')
  return node.concatenate(finalOf(parts))
}

export async function partials<const Texts extends readonly string[]>(
  stage: Stage,
  ...texts: Texts
): Promise<{ [Index in keyof Texts]: Upload }> {
  const made = await Promise.all(texts.map((text) => stage.partial(text)))
  return made as { [Index in keyof Texts]: Upload }
}
