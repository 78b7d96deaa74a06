import { describe, expect } from 'vitest'
import type { Assembly, UploadRegistry } from '../../../src/upload/ports.js'
import type { Upload } from '../../../src/upload/upload.js'
import { partials } from './concatenating.js'
import { type Fact, finalOf, found, ids, type Stage } from './stage.js'

export function assembling(fact: Fact): void {
  describe('assembling', () => {
    fact('a complete final of several pieces waits to be taken, once', async (stage) => {
      const { final } = await twoParts(stage)
      const assembly = await taken(stage.a)
      expect(assembly).toMatchObject({ uploadId: final.id, length: 4, copied: 0, fresh: true })
      expect(assembly.target.epoch).toBe(stage.a.epoch)
      expect(stage.read(assembly.extents)).toBe('aabb')
      expect(await stage.a.takeAssembly()).toBeNull()
      expect(await stage.a.takeAssembly(final.id)).toBeNull()
      expect(await (await stage.bench.node()).takeAssembly()).toBeNull()
    })

    fact('each final is taken by one of many', async (stage) => {
      const nodes = [stage.a, await stage.bench.node()]
      const finals = []
      for (let count = 0; count < 6; count++) finals.push((await twoParts(stage)).final)
      const taking = Array.from({ length: 12 }, (_, index) => nodes[index % 2]?.takeAssembly())
      const assemblies = (await Promise.all(taking)).filter((assembly) => assembly != null)
      for (let more = await stage.a.takeAssembly(); more !== null; more = await stage.a.takeAssembly()) {
        assemblies.push(more)
      }
      expect(assemblies.map(({ uploadId }) => uploadId).sort()).toEqual(ids(finals))
    })

    fact('one can be asked for by its id', async (stage) => {
      await twoParts(stage)
      const { final } = await twoParts(stage)
      expect(await stage.a.takeAssembly(final.id)).toMatchObject({ uploadId: final.id })
      expect(await stage.a.takeAssembly((await stage.stored('whole')).id)).toBeNull()
    })

    fact('progress is kept for whoever takes it after it was given back', async (stage) => {
      const { final } = await twoParts(stage)
      const b = await stage.bench.node()
      const first = await taken(stage.a)
      expect(await stage.a.assemblyProgress(first, 3)).toBe(true)
      await stage.a.abandonAssembly(first)
      const second = await taken(b, final)
      expect(second).toMatchObject({ target: first.target, copied: 3, fresh: false })
      expect(await stage.a.assemblyProgress(first, 4)).toBe(false)
      expect(await stage.a.finishAssembly(first)).toBeNull()
      await stage.a.abandonAssembly(first)
      expect(await stage.a.takeAssembly(final.id)).toBeNull()
      expect(await b.finishAssembly(second)).not.toBeNull()
    })

    fact('one of a node whose lease lapsed is taken again, into a target of its own', async (stage) => {
      const { final } = await twoParts(stage)
      const b = await stage.bench.node()
      const first = await taken(stage.a)
      await stage.a.assemblyProgress(first, 3)
      await stage.bench.lapse(stage.a)
      const second = await taken(b)
      expect(second).toMatchObject({ uploadId: final.id, copied: 0, fresh: true })
      expect(second.target.id).not.toBe(first.target.id)
      expect(await stage.a.assemblyProgress(first, 4)).toBe(false)
      expect(await stage.a.finishAssembly(first)).toBeNull()
      await stage.a.abandonAssembly(first)
      expect(await b.unreferencedBlobs(10)).toEqual([first.target])
      stage.copy(second.target, second.extents)
      await b.finishAssembly(second)
      expect(await stage.content(final, b)).toBe('aabb')
    })

    fact(
      'a finished one is the content of the final and of its parts, and gives the old blobs away',
      async (stage) => {
        const { final, parts } = await twoParts(stage)
        const assembly = await taken(stage.a)
        stage.copy(assembly.target, assembly.extents)
        const finished = await stage.a.finishAssembly(assembly)
        expect(finished?.upload).toEqual(final)
        expect(ids(finished?.unreferenced ?? [])).toEqual(ids(assembly.extents.map(({ blob }) => blob)))
        const target = { blob: assembly.target }
        expect(await stage.a.extents(final.id, null)).toMatchObject([
          { start: 0, stop: 4, blobOffset: 0, ...target },
        ])
        expect(await stage.a.extents(parts[0].id, null)).toMatchObject([
          { start: 0, stop: 2, blobOffset: 0, ...target },
        ])
        expect(await stage.a.extents(parts[1].id, null)).toMatchObject([
          { start: 0, stop: 2, blobOffset: 2, ...target },
        ])
        expect(await stage.a.takeAssembly()).toBeNull()
        expect(await stage.a.takeAssembly(final.id)).toBeNull()
      },
    )

    fact('what a silent node copied is gone on with only where targets are shared', async (stage) => {
      for (const shared of [false, true]) {
        const dying = await stage.bench.node()
        const { final } = await twoParts(stage)
        const first = await taken(dying, final)
        stage.copy(first.target, first.extents)
        expect(await dying.assemblyProgress(first, 3)).toBe(true)
        await stage.bench.lapse(dying)
        const second = await stage.a.takeAssembly(final.id, shared)
        if (second === null) throw new Error('nobody else assembles')
        expect(second.target.id === first.target.id).toBe(shared)
        expect(second.copied).toBe(shared ? 3 : 0)
        // The first may wake up, but has nothing to say.
        expect(await dying.assemblyProgress(first, 4)).toBe(false)
        expect(await dying.finishAssembly(first)).toBeNull()
        stage.copy(second.target, second.extents)
        expect(await stage.a.finishAssembly(second)).not.toBeNull()
        expect(await stage.content(final)).toBe('aabb')
      }
    })

    fact('a finished one is not finished again', async (stage) => {
      const { final } = await twoParts(stage)
      const assembly = await taken(stage.a)
      stage.copy(assembly.target, assembly.extents)
      await stage.a.finishAssembly(assembly)
      expect(await stage.a.finishAssembly(assembly)).toBeNull()
      expect(await stage.a.assemblyProgress(assembly, 4)).toBe(false)
      await stage.a.abandonAssembly(assembly)
      expect(await stage.content(final)).toBe('aabb')
      expect(await stage.a.takeAssembly(final.id)).toBeNull()
    })

    fact('a part that stands twice, and empty ones beside it, are re-pointed rightly', async (stage) => {
      const [x, empty, y] = await partials(stage, 'x', '', 'y')
      const { upload: final } = await stage.a.concatenate(finalOf([empty, y, x, empty, y]))
      await assembled(stage)
      expect(await stage.content(final)).toBe('yxy')
      expect([await stage.content(x), await stage.content(y), await stage.content(empty)]).toEqual([
        'x',
        'y',
        '',
      ])
    })

    fact('a part removed meanwhile harms neither the final nor the parts after it', async (stage) => {
      const [x, y, z] = await partials(stage, 'x', 'yy', 'zzz')
      const { upload: final } = await stage.a.concatenate(finalOf([x, y, z]))
      await assembled(stage, async () => {
        await stage.a.terminate(y.id, null)
      })
      expect(await stage.content(final)).toBe('xyyzzz')
      expect([await stage.content(x), await stage.content(z)]).toEqual(['x', 'zzz'])
    })

    fact('a part that expired meanwhile stays expired', async (stage) => {
      const { final, parts } = await twoParts(stage)
      await assembled(stage, async () => {
        await stage.bench.makeDue(parts[0].id)
        await stage.a.expireDue(10)
      })
      expect(await stage.content(final)).toBe('aabb')
      expect(await found(stage.a, parts[0])).toMatchObject({ status: 'expired' })
      expect(await stage.content(parts[0])).toBeNull()
    })

    fact('blobs that another final uses stay, until that is assembled too', async (stage) => {
      const { final: one, parts } = await twoParts(stage)
      const { upload: two } = await stage.a.concatenate(finalOf([...parts].reverse()))
      expect(await assembled(stage, undefined, one)).toEqual([])
      expect(await stage.content(two)).toBe('bbaa')
      expect(await assembled(stage, undefined, two)).not.toEqual([])
      expect(await stage.content(one)).toBe('aabb')
      expect(await stage.content(two)).toBe('bbaa')
      expect(await Promise.all(parts.map((part) => stage.content(part)))).toEqual(['aa', 'bb'])
    })

    fact('a final made of the parts meanwhile keeps its bytes', async (stage) => {
      const { final: one, parts } = await twoParts(stage)
      let two = one
      await assembled(stage, async () => {
        two = (await stage.a.concatenate(finalOf([...parts].reverse()))).upload
      })
      expect(await stage.content(two)).toBe('bbaa')
      expect(await stage.content(one)).toBe('aabb')
    })

    fact('a final removed meanwhile stays removed, and the target is given away', async (stage) => {
      const { final, parts } = await twoParts(stage)
      const assembly = await taken(stage.a)
      expect((await stage.a.terminate(final.id, null))?.unreferenced).toEqual([assembly.target])
      expect(await stage.a.assemblyProgress(assembly, 2)).toBe(false)
      expect(await stage.a.finishAssembly(assembly)).toBeNull()
      await stage.a.abandonAssembly(assembly)
      expect(await stage.a.unreferencedBlobs(10)).toEqual([assembly.target])
      expect(await found(stage.a, final)).toBeNull()
      expect(await Promise.all(parts.map((part) => stage.content(part)))).toEqual(['aa', 'bb'])
    })

    fact('a final removed at the moment it is finished or taken leaves no blob behind', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 15; round++) {
        const { final, parts } = await twoParts(stage)
        for (const part of parts) await stage.a.terminate(part.id, null)
        const work = async (): Promise<Assembly | null> => {
          const assembly = await b.takeAssembly(final.id)
          if (assembly) await b.finishAssembly(assembly)
          return assembly
        }
        const [, assembly] = await Promise.all([stage.a.terminate(final.id, null), work()])
        const left = ids(await stage.a.unreferencedBlobs(10))
        expect(left).toHaveLength(assembly ? 3 : 2)
        await stage.a.forgetBlobs(await stage.a.unreferencedBlobs(10))
      }
    })

    fact('a take-over and a removal at the same moment neither fail nor leak', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 15; round++) {
        const dying = await stage.bench.node()
        const { final } = await twoParts(stage)
        const first = await dying.takeAssembly(final.id)
        await stage.bench.lapse(dying)
        const [ended, second] = await Promise.all([
          stage.a.terminate(final.id, null),
          b.takeAssembly(final.id),
        ])
        expect(ended).not.toBeNull()
        const targets = [first, second].flatMap((assembly) => (assembly ? [assembly.target] : []))
        expect(ids(await stage.a.unreferencedBlobs(10))).toEqual(ids(targets))
        await stage.a.forgetBlobs(targets)
      }
    })

    fact('parts go on being used while their final is being finished', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 15; round++) {
        const { final, parts } = await twoParts(stage)
        const assembly = await taken(stage.a, final)
        stage.copy(assembly.target, assembly.extents)
        const [finished, , other] = await Promise.all([
          stage.a.finishAssembly(assembly),
          b.terminate(parts[0].id, null),
          b.concatenate(finalOf([parts[1], parts[1]])),
        ])
        expect(finished).not.toBeNull()
        expect(await stage.content(final)).toBe('aabb')
        expect(await stage.content(other.upload)).toBe('bbbb')
      }
    })
  })
}

async function twoParts(stage: Stage): Promise<{ final: Upload; parts: [Upload, Upload] }> {
  const [x, y] = await partials(stage, 'aa', 'bb')
  const { upload: final } = await stage.a.concatenate(finalOf([x, y]))
  return { final, parts: [x, y] }
}

async function taken(registry: UploadRegistry, final?: Upload): Promise<Assembly> {
  const assembly = await registry.takeAssembly(final?.id)
  if (assembly === null) throw new Error('there was nothing to assemble')
  return assembly
}

/** Assembles a final, with something happening meanwhile. Returns the ids of the blobs that were given away. */
async function assembled(stage: Stage, meanwhile?: () => Promise<void>, final?: Upload): Promise<string[]> {
  const assembly = await taken(stage.a, final)
  stage.copy(assembly.target, assembly.extents)
  await meanwhile?.()
  const finished = await stage.a.finishAssembly(assembly)
  if (finished === null) throw new Error('the assembly was lost')
  return ids(finished.unreferenced)
}
