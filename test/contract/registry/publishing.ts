import { describe, expect } from 'vitest'
import type { Placed, Publication, UploadRegistry } from '../../../src/upload/ports.js'
import type { Upload } from '../../../src/upload/upload.js'
import { type Fact, finishOf, found, ids, type Stage } from './stage.js'

const FOREVER_MS = 60_000

export function publishing(fact: Fact): void {
  describe('publishing', () => {
    fact('whoever finishes an upload publishes it; others wait for that', async (stage) => {
      const b = await stage.bench.node()
      const upload = await finished(stage, 'a.txt')
      expect(await b.takePublication(upload.id)).toEqual({ outcome: 'elsewhere' })
      const publication = await ours(stage.a, upload)
      expect(publication).toEqual({ uploadId: upload.id, filename: 'a.txt', name: null, identity: null })
      const woken = b.handedBack(upload.id, FOREVER_MS)
      const places: (Publication | null)[] = []
      const published = await stage.a.publish(publication, async (holder) => {
        places.push(holder)
        return placed('a.txt')
      })
      await woken
      expect(published).toEqual({ upload: await found(stage.a, upload), first: true })
      expect(places).toEqual([null])
      for (const node of [stage.a, b]) {
        expect(await node.takePublication(upload.id)).toEqual({ outcome: 'done' })
      }
    })

    fact('what is not to be published has no turn', async (stage) => {
      const silent = await stage.chunked(0, { filename: 'a.txt' })
      const nameless = await stage.chunked(0)
      await stage.a.complete(finishOf(silent))
      await stage.a.complete(finishOf(nameless, { publishAs: nameless.filename }))
      const open = await stage.chunked(0, { filename: 'a.txt' })
      for (const upload of [silent, nameless, open]) {
        expect(await stage.a.takePublication(upload.id)).toBeNull()
      }
      expect(await stage.a.unpublished(10)).toEqual([])
    })

    fact('the file that has the name is told, and keeps account of its next name', async (stage) => {
      const old = await finished(stage, 'a.txt')
      await publish(stage.a, old, placed('a.txt', null, 'one'))
      const next = await finished(stage, 'a.txt')
      const holders: (Publication | null)[] = []
      await stage.a.publish(await ours(stage.a, next), async (holder) => {
        holders.push(holder)
        return placed('a.txt', 'a_2.txt', 'two')
      })
      const held = { uploadId: old.id, filename: 'a.txt', name: 'a.txt', identity: 'one' }
      expect(holders).toEqual([held])
      const retracted = await stage.a.terminate(old.id, null)
      expect(retracted?.published).toEqual({ ...held, name: 'a_2.txt' })
      const newer = await stage.a.terminate(next.id, null)
      expect(newer?.published).toMatchObject({ name: 'a.txt', identity: 'two' })
    })

    fact('two of one filename are never placed at once, on any nodes', async (stage) => {
      const b = await stage.bench.node()
      const uploads = await Promise.all(Array.from({ length: 6 }, () => finished(stage, 'a.txt')))
      let placing = 0
      let newest: string | null = null
      const work = uploads.map(async (upload, index) => {
        await stage.a.leavePublication(upload.id)
        const node = index % 2 === 0 ? stage.a : b
        await node.publish(await ours(node, upload), async (holder) => {
          expect(++placing).toBe(1)
          expect(holder?.uploadId ?? null).toBe(newest)
          await new Promise((resolve) => setImmediate(resolve))
          newest = upload.id
          placing -= 1
          return placed('a.txt', holder && `a_${index}.txt`)
        })
      })
      await Promise.all(work)
    })

    fact('an upload is published once, however often that is tried', async (stage) => {
      const upload = await finished(stage, 'a.txt')
      const publication = await ours(stage.a, upload)
      let places = 0
      const place = async () => {
        places += 1
        return placed('a.txt')
      }
      const all = await Promise.all([1, 2, 3].map(() => stage.a.publish(publication, place)))
      expect(all.map((each) => each?.upload.id)).toEqual([upload.id, upload.id, upload.id])
      expect(places).toBe(1)
    })

    fact('who did it is told that it did, also under its next epoch, and others are not', async (stage) => {
      const b = await stage.bench.node()
      const upload = await finished(stage, 'a.txt')
      const publication = await ours(stage.a, upload)
      const never = () => Promise.reject(new Error('was placed'))
      expect(await stage.a.publish(publication, async () => placed('a.txt'))).toMatchObject({ first: true })
      expect(await stage.a.publish(publication, never)).toMatchObject({ first: true })
      expect(await b.publish(publication, never)).toMatchObject({ upload: { id: upload.id }, first: false })
      await stage.bench.lapse(stage.a)
      await stage.bench.thaw(stage.a)
      expect(await stage.a.publish(publication, never)).toMatchObject({ first: true })
    })

    fact('an attempt that failed is thrown as it is, and leaves it to be tried again', async (stage) => {
      const upload = await finished(stage, 'a.txt')
      const publication = await ours(stage.a, upload)
      const failure = new Error('no room')
      const failed = stage.a.publish(publication, () => Promise.reject(failure))
      await expect(failed).rejects.toBe(failure)
      await stage.a.leavePublication(upload.id)
      expect(await stage.a.unpublished(10)).toEqual([upload.id])
      await publish(stage.a, upload, placed('a.txt'))
      expect(await stage.a.unpublished(10)).toEqual([])
    })

    fact('what a dead node was to publish is found, and taken', async (stage) => {
      const b = await stage.bench.node()
      const upload = await finished(stage, 'a.txt')
      expect(await b.unpublished(10)).toEqual([])
      await stage.bench.lapse(stage.a)
      expect(await b.unpublished(10)).toEqual([upload.id])
      await publish(b, upload, placed('a.txt'))
      expect(await b.unpublished(10)).toEqual([])
    })

    fact('an upload that was removed is not published', async (stage) => {
      const upload = await finished(stage, 'a.txt')
      const publication = await ours(stage.a, upload)
      expect((await stage.a.terminate(upload.id, null))?.published).toBeNull()
      const never = () => Promise.reject(new Error('was placed'))
      expect(await stage.a.publish(publication, never)).toBeNull()
      expect(await stage.a.takePublication(upload.id)).toBeNull()
      expect(await stage.a.unpublished(10)).toEqual([])
      expect(await stage.a.retractedPublications(10)).toEqual([])
    })

    fact('a removal at the same moment: not placed, or the file is known that is to go', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 10; round++) {
        const upload = await finished(stage, 'a.txt')
        const publication = await ours(stage.a, upload)
        let places = 0
        const [, ended] = await Promise.all([
          stage.a.publish(publication, async (holder) => {
            places += 1
            return placed('a.txt', holder && `a_${round}.txt`)
          }),
          b.terminate(upload.id, null),
        ])
        expect(ended?.published?.name ?? null).toBe(places === 1 ? 'a.txt' : null)
        if (ended?.published) await b.forgetPublications([ended.published])
      }
    })

    fact('a removed one is kept in mind until its file is removed', async (stage) => {
      const upload = await finished(stage, 'a.txt')
      await publish(stage.a, upload, placed('a.txt'))
      const published = (await stage.a.terminate(upload.id, null))?.published
      if (!published) throw new Error('it was not published')
      expect(await stage.a.retractedPublications(10)).toEqual([published])
      expect(await stage.a.retractedPublications(0)).toEqual([])
      await stage.a.forgetPublications([published])
      await stage.a.forgetPublications([published])
      expect(await stage.a.retractedPublications(10)).toEqual([])
    })

    fact('a file that was moved aside after its upload went is not lost sight of', async (stage) => {
      const old = await finished(stage, 'a.txt')
      await publish(stage.a, old, placed('a.txt'))
      const published = (await stage.a.terminate(old.id, null))?.published
      if (!published) throw new Error('it was not published')
      const next = await finished(stage, 'a.txt')
      await stage.a.publish(await ours(stage.a, next), async (holder) => {
        expect(holder).toEqual(published)
        return placed('a.txt', 'a_2.txt')
      })
      // What was removed under the old name was not this file.
      await stage.a.forgetPublications([published])
      const [left] = await stage.a.retractedPublications(10)
      expect(left).toEqual({ ...published, name: 'a_2.txt' })
      if (left) await stage.a.forgetPublications([left])
      expect(await stage.a.retractedPublications(10)).toEqual([])
    })

    fact('a living one is never forgotten', async (stage) => {
      const upload = await finished(stage, 'a.txt')
      await publish(stage.a, upload, placed('a.txt'))
      await stage.a.forgetPublications([
        { uploadId: upload.id, filename: 'a.txt', name: 'a.txt', identity: '' },
      ])
      expect(await stage.a.takePublication(upload.id)).toEqual({ outcome: 'done' })
    })
  })

  describe('the published file as the only copy', () => {
    fact('lets go of the bytes, once, and the upload stays', async (stage) => {
      const upload = await finished(stage, 'a.txt', 'abc')
      const [extent] = (await stage.a.extents(upload.id, null)) ?? []
      expect(await stage.a.releasePublished(0, 10)).toEqual({ count: 0, unreferenced: [] })
      await publish(stage.a, upload, placed('a.txt'))
      expect(await stage.a.releasePublished(FOREVER_MS, 10)).toEqual({ count: 0, unreferenced: [] })
      expect(await stage.a.releasePublished(0, 10)).toEqual({ count: 1, unreferenced: [extent?.blob] })
      expect(await stage.a.releasePublished(0, 10)).toEqual({ count: 0, unreferenced: [] })
      expect(await stage.a.extents(upload.id, null)).toEqual([])
      expect(await stage.a.prefix(upload.id)).toBeNull()
      expect(await found(stage.a, upload)).toMatchObject({ status: 'complete', offset: 3, length: 3 })
      expect(await stage.a.list(null, 10)).toHaveLength(1)
    })

    fact('also of one that is being assembled', async (stage) => {
      const upload = await stage.chunked(2, { filename: 'a.txt' })
      for (const start of [0, 1]) await stage.chunk(upload, start, 'x')
      await stage.chunk(upload, 0, 'y')
      await stage.a.complete(finishOf(upload, { publishAs: upload.filename }))
      const assembly = await stage.a.takeAssembly(upload.id)
      if (assembly === null) throw new Error('there was nothing to assemble')
      await publish(stage.a, upload, placed('a.txt'))
      expect((await stage.a.releasePublished(0, 10)).unreferenced).toHaveLength(3)
      expect(await stage.a.finishAssembly(assembly)).toBeNull()
      expect(await stage.a.takeAssembly(upload.id)).toBeNull()
    })

    fact('no more than asked for at a time, each by one of many', async (stage) => {
      const b = await stage.bench.node()
      for (let count = 0; count < 6; count++) {
        await publish(stage.a, await finished(stage, `${count}.txt`, 'x'), placed(`${count}.txt`))
      }
      const blobs: string[] = []
      let count = 0
      for (let turn = 0; turn < 4; turn++) {
        for (const released of await Promise.all([
          stage.a.releasePublished(0, 1),
          b.releasePublished(0, 1),
        ])) {
          expect(released.count).toBeLessThan(2)
          count += released.count
          blobs.push(...ids(released.unreferenced))
        }
      }
      expect([count, blobs.length, new Set(blobs).size]).toEqual([6, 6, 6])
    })

    fact('it can be removed after that', async (stage) => {
      const upload = await finished(stage, 'a.txt', 'abc')
      await publish(stage.a, upload, placed('a.txt'))
      await stage.a.releasePublished(0, 10)
      const ended = await stage.a.terminate(upload.id, null)
      expect(ended).toMatchObject({ unreferenced: [], published: { name: 'a.txt' } })
    })
  })
}

function placed(name: string, holderName: string | null = null, identity = 'inode'): Placed {
  return { name, identity, holderName }
}

/** An upload that is complete and to be published by the first node. */
async function finished(stage: Stage, filename: string, text = ''): Promise<Upload> {
  const upload = await stage.chunked(text.length, { filename })
  if (text.length > 0) await stage.chunk(upload, 0, text)
  const outcome = await stage.a.complete(finishOf(upload, { publishAs: upload.filename }))
  if (outcome.outcome !== 'complete') throw new Error('it changed')
  return outcome.upload
}

async function ours(registry: UploadRegistry, upload: Upload): Promise<Publication> {
  const turn = await registry.takePublication(upload.id)
  if (turn?.outcome !== 'ours') throw new Error(`the turn is ${turn?.outcome}`)
  expect(turn.upload).toMatchObject({ id: upload.id, status: 'complete' })
  return turn.publication
}

async function publish(registry: UploadRegistry, upload: Upload, result: Placed): Promise<void> {
  await registry.publish(await ours(registry, upload), async () => result)
}
