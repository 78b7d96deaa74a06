import { randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import type { Digest } from '../../../src/upload/digest.js'
import { digestOf, turn } from './digests.js'
import { aborted, claimed, claimOf, codeOf, draft, type Fact, finishOf, found, type Stage } from './stage.js'

export function completingChunks(fact: Fact): void {
  describe('finishing an upload of chunks', () => {
    fact('makes it complete, once', async (stage) => {
      const upload = await abc(stage)
      const outcome = await stage.a.complete(finishOf(upload))
      expect(outcome).toMatchObject({
        outcome: 'complete',
        first: true,
        upload: { status: 'complete', offset: 3, expiresAt: null, digest: null },
      })
      const again = await stage.a.complete(finishOf(upload))
      expect(again).toEqual({ ...outcome, first: false })
      expect(await stage.content(upload)).toBe('abc')
      expect(await found(stage.a, upload)).toMatchObject({ completedAt: expect.any(Date) })
    })

    fact('of many at once, one is the first', async (stage) => {
      const nodes = [stage.a, await stage.bench.node()]
      const upload = await abc(stage)
      const all = await Promise.all([...nodes, ...nodes].map((node) => node.complete(finishOf(upload))))
      expect(all.filter((outcome) => outcome.outcome === 'complete' && outcome.first)).toHaveLength(1)
    })

    fact('not while there are gaps', async (stage) => {
      const upload = await stage.chunked(6)
      expect(await codeOf(stage.a.complete(finishOf(upload)))).toBe('upload_not_finished')
      await stage.chunk(upload, 3, 'def')
      expect(await codeOf(stage.a.complete(finishOf(upload)))).toBe('upload_not_finished')
      await stage.chunk(upload, 0, 'ab')
      expect(await codeOf(stage.a.complete(finishOf(upload)))).toBe('upload_not_finished')
      await stage.chunk(upload, 2, 'c')
      expect(await stage.a.complete(finishOf(upload))).toMatchObject({ first: true })
      expect(await stage.content(upload)).toBe('abcdef')
    })

    fact('an empty one is complete with nothing', async (stage) => {
      const upload = await stage.chunked(0)
      expect(await stage.a.complete(finishOf(upload))).toMatchObject({ first: true })
      expect(await stage.content(upload)).toBe('')
      expect(await stage.beginning(upload)).toBe('')
    })

    fact('unknown, foreign, removed, expired, and of another protocol: refused', async (stage) => {
      const upload = await abc(stage)
      const [due, tus] = [await abc(stage), await stage.a.create(draft())]
      await stage.bench.makeDue(due.id)
      expect(await codeOf(stage.a.complete(finishOf({ ...upload, id: randomUUID() })))).toBe(
        'upload_not_found',
      )
      expect(await codeOf(stage.a.complete(finishOf({ ...upload, owner: 'bob' })))).toBe('upload_not_found')
      expect(await codeOf(stage.a.complete(finishOf(due)))).toBe('upload_expired')
      expect(await codeOf(stage.a.complete(finishOf(tus, { protocol: 'frago' })))).toBe('wrong_protocol')
    })

    fact('a complete one takes no more chunks, and never expires', async (stage) => {
      const upload = await abc(stage)
      await stage.a.complete(finishOf(upload))
      for (const start of [0, 2]) {
        const refused = stage.a.claim(claimOf(upload, { start, stop: 3 }))
        expect(await codeOf(refused)).toBe('upload_finished')
      }
      expect((await stage.a.expireDue(10)).uploads).toEqual([])
    })

    fact('a chunk on its way to replace another comes too late, and is told', async (stage) => {
      const b = await stage.bench.node()
      const upload = await abc(stage)
      const claim = await claimed(stage.a, upload, { start: 0, stop: 3 })
      const told = aborted(claim.yielded)
      await b.complete(finishOf(upload))
      await told
      stage.write(claim, 'XYZ')
      expect(await codeOf(stage.a.record(claim, 3))).toBe('claim_lost')
      expect(await stage.content(upload)).toBe('abc')
      expect(await stage.a.unreferencedBlobs(10)).toEqual([])
    })

    fact('a replacement at the same moment counts, or it is refused', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 15; round++) {
        const upload = await abc(stage)
        const [chunk, outcome] = await Promise.allSettled([
          stage.chunk(upload, 0, 'ABC'),
          b.complete(finishOf(upload)),
        ])
        expect(outcome).toMatchObject({ status: 'fulfilled', value: { first: true } })
        expect(await stage.content(upload)).toBe(chunk.status === 'fulfilled' ? 'ABC' : 'abc')
      }
    })

    fact('chunks of one blob need no assembly; those of several are assembled', async (stage) => {
      const plain = await stage.chunked(6)
      for (const start of [3, 0]) await stage.chunk(plain, start, 'abc')
      await stage.a.complete(finishOf(plain))
      expect(await stage.a.takeAssembly()).toBeNull()
      expect(await stage.a.extents(plain.id, null)).toHaveLength(1)
      const mixed = await stage.chunked(6)
      for (const start of [0, 3]) await stage.chunk(mixed, start, 'abc')
      await stage.chunk(mixed, 3, 'DEF')
      await stage.a.complete(finishOf(mixed))
      const assembly = await stage.a.takeAssembly(mixed.id)
      if (assembly === null) throw new Error('there was nothing to assemble')
      expect(assembly).toMatchObject({ uploadId: mixed.id, length: 6 })
      stage.copy(assembly.target, assembly.extents)
      const finished = await stage.a.finishAssembly(assembly)
      expect(finished?.upload).toMatchObject({ id: mixed.id, status: 'complete' })
      expect(finished?.unreferenced).toHaveLength(2)
      expect(await stage.content(mixed)).toBe('abcDEF')
    })

    fact('pieces of a blob that were cut and belong together are one again', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(6)
      await stage.chunk(upload, 0, 'ab')
      await claimed(stage.a, upload, { start: 2, stop: 4 })
      await stage.bench.lapse(stage.a)
      await stage.chunk(upload, 2, 'cdef', b)
      await stage.chunk(upload, 0, 'AB', b)
      await b.complete(finishOf(upload))
      expect(await stage.content(upload, b)).toBe('ABcdef')
      expect(await b.extents(upload.id, null)).toMatchObject([{ stop: 2 }, { start: 2, stop: 6 }])
    })
  })

  describe('finishing with a digest', () => {
    fact('that was worked out just now: it is noted and kept', async (stage) => {
      const upload = await abc(stage)
      const token = await turn(stage.a, upload)
      const outcome = await stage.a.complete(finishOf(upload, { digest: digestOf('x'), token }))
      expect(outcome).toMatchObject({ first: true, upload: { digest: digestOf('x') } })
      expect(await found(stage.a, upload)).toMatchObject({ digest: digestOf('x') })
      expect(await stage.a.takeDigest(upload.id, 'md5')).toEqual({ outcome: 'known', digest: digestOf('x') })
    })

    fact('turns for it are over, and those for other digests go on', async (stage) => {
      const b = await stage.bench.node()
      const upload = await abc(stage)
      const other = await b.takeDigest(upload.id, 'sha256')
      if (other?.outcome !== 'ours') throw new Error(`the turn is ${other?.outcome}`)
      const token = await turn(stage.a, upload)
      await stage.a.complete(finishOf(upload, { digest: digestOf('x'), token }))
      await stage.a.leaveDigest(upload.id, token)
      await stage.a.noteDigest(upload.id, token, digestOf('y'))
      for (const node of [stage.a, b]) {
        expect(await node.takeDigest(upload.id, 'md5')).toEqual({ outcome: 'known', digest: digestOf('x') })
      }
      const sha256: Digest = { algorithm: 'sha256', bytes: Buffer.alloc(32) }
      expect(await b.noteDigest(upload.id, other.token, sha256)).toBe(true)
      expect(await stage.a.takeDigest(upload.id, 'sha256')).toEqual({ outcome: 'known', digest: sha256 })
    })

    fact('that the registry knew', async (stage) => {
      const upload = await abc(stage)
      await stage.a.noteDigest(upload.id, await turn(stage.a, upload), digestOf('x'))
      const outcome = await stage.a.complete(finishOf(upload, { digest: digestOf('x') }))
      expect(outcome).toMatchObject({ first: true, upload: { digest: digestOf('x') } })
    })

    fact('those who share a turn are one first and the others not', async (stage) => {
      const upload = await abc(stage)
      const request = finishOf(upload, { digest: digestOf('x'), token: await turn(stage.a, upload) })
      const all = await Promise.all([1, 2, 3].map(() => stage.a.complete(request)))
      expect(all.filter((outcome) => outcome.outcome === 'complete' && outcome.first)).toHaveLength(1)
    })

    fact('not when the content has changed since', async (stage) => {
      const upload = await abc(stage)
      const token = await turn(stage.a, upload)
      await stage.chunk(upload, 0, 'ABC')
      const changed = { outcome: 'changed' }
      expect(await stage.a.complete(finishOf(upload, { digest: digestOf('x'), token }))).toEqual(changed)
      expect(await stage.a.complete(finishOf(upload, { digest: digestOf('x') }))).toEqual(changed)
      await stage.a.noteDigest(upload.id, await turn(stage.a, upload), digestOf('y'))
      expect(await stage.a.complete(finishOf(upload, { digest: digestOf('x') }))).toEqual(changed)
      expect(await found(stage.a, upload)).toMatchObject({ status: 'in_progress', digest: null })
    })

    fact('whoever waits for the upload is woken', async (stage) => {
      const b = await stage.bench.node()
      const upload = await abc(stage)
      const woken = b.handedBack(upload.id, 60_000)
      await stage.a.complete(finishOf(upload))
      await woken
    })
  })
}

function abc(stage: Stage) {
  return stage.chunked(3).then(async (upload) => (await stage.chunk(upload, 0, 'abc')).upload)
}
