import { randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import type { Blob } from '../../../src/upload/blob.js'
import type { UploadRegistry } from '../../../src/upload/ports.js'
import type { Upload } from '../../../src/upload/upload.js'
import { digestOf, turn } from './digests.js'
import {
  aborted,
  claimed,
  claimOf,
  codeOf,
  draft,
  type Fact,
  finishOf,
  found,
  ids,
  type Stage,
} from './stage.js'

export function losing(fact: Fact): void {
  describe('bytes that are gone: of chunks', () => {
    fact('those that lay there have to be sent again, and no others', async (stage) => {
      const { upload, other } = await threeChunks(stage)
      expect(await lose(stage, upload, other)).toBe(true)
      expect(await received(stage.a, upload)).toEqual([
        [0, 3],
        [6, 9],
      ])
      expect((await found(stage.a, upload))?.offset).toBe(3)
      expect(ids(await stage.a.unreferencedBlobs(10))).toEqual([other.id])
      expect(await lose(stage, upload, other)).toBe(false)
      expect(await codeOf(stage.a.complete(finishOf(upload)))).toBe('upload_not_finished')
      await stage.chunk(upload, 3, 'new')
      await stage.a.complete(finishOf(upload))
      expect(await stage.content(upload)).toBe('abcnewghi')
    })

    fact('also the first of them, and others of the same blob', async (stage) => {
      const { upload, first } = await threeChunks(stage)
      expect(await lose(stage, upload, first)).toBe(true)
      expect(await received(stage.a, upload)).toEqual([[3, 6]])
      expect(await stage.beginning(upload)).toBe('')
      const [one, last] = [
        await claimed(stage.a, upload, { start: 0, stop: 3 }),
        await claimed(stage.a, upload, { start: 6, stop: 9 }),
      ]
      expect([one.fresh, last.fresh]).toEqual([true, true])
      expect([one.blob.id, last.blob.id]).not.toContain(first.id)
      await stage.a.record(one, stage.write(one, 'ABC'))
      await stage.a.record(last, stage.write(last, 'GHI'))
      expect(await stage.beginning(upload)).toBe('ABCDEFGHI')
      await stage.a.complete(finishOf(upload))
      expect(await stage.content(upload)).toBe('ABCDEFGHI')
    })

    fact('a chunk that lies there in part is lost as a whole', async (stage) => {
      const upload = await stage.chunked(6)
      await stage.chunk(upload, 0, 'ab')
      await stage.chunk(upload, 2, 'cdef')
      // A shorter one in its place, and the rest again.
      await stage.chunk(upload, 2, 'CD')
      await stage.chunk(upload, 4, 'ef')
      const blob = await blobAt(stage, upload, 2)
      await stage.chunk(upload, 2, 'CD')
      const now = await blobAt(stage, upload, 2)
      expect(now.id).not.toBe(blob.id)
      expect(await lose(stage, upload, now)).toBe(true)
      expect(await received(stage.a, upload)).toEqual([
        [0, 2],
        [4, 6],
      ])
      await stage.chunk(upload, 2, 'xy')
      expect(await stage.beginning(upload)).toBe('abxyef')
    })

    fact('whoever writes there is told, and comes too late; others are left alone', async (stage) => {
      const b = await stage.bench.node()
      const { upload, first, other } = await threeChunks(stage, 12)
      const [writing, replacing, beside] = [
        await claimed(b, upload, { start: 9, stop: 12 }),
        await claimed(b, upload, { start: 0, stop: 3 }),
        await claimed(b, upload, { start: 3, stop: 6 }),
      ]
      const told = [writing, replacing].map(({ yielded }) => aborted(yielded))
      expect(await lose(stage, upload, first)).toBe(true)
      await Promise.all(told)
      for (const claim of [writing, replacing]) {
        expect(await codeOf(b.record(claim, stage.write(claim, 'xyz')))).toBe('claim_lost')
      }
      expect(beside.yielded.aborted).toBe(false)
      await b.record(beside, stage.write(beside, 'XYZ'))
      expect(await received(b, upload)).toEqual([[3, 6]])
      expect(ids(await b.unreferencedBlobs(10))).toEqual(ids([first, other]))
      await stage.chunk(upload, 0, 'abc')
      expect(await stage.beginning(upload)).toBe('abcXYZ')
    })

    fact('the record that counted, asked for again, does not any more', async (stage) => {
      const upload = await stage.chunked(6)
      const claim = await claimed(stage.a, upload, { start: 0, stop: 3 })
      const stop = stage.write(claim, 'abc')
      await stage.a.record(claim, stop)
      expect(await lose(stage, upload, claim.blob)).toBe(true)
      expect(await codeOf(stage.a.record(claim, stop))).toBe('claim_lost')
      expect(await received(stage.a, upload)).toEqual([])
    })

    fact('digests are forgotten, and turns for them are over', async (stage) => {
      const { upload, other } = await threeChunks(stage)
      const token = await turn(stage.a, upload)
      await lose(stage, upload, other)
      expect(await stage.a.noteDigest(upload.id, token, digestOf('x'))).toBe(false)
      const later = await turn(stage.a, upload)
      await stage.a.noteDigest(upload.id, later, digestOf('y'))
      await stage.chunk(upload, 3, 'new')
      await lose(stage, upload, await blobAt(stage, upload, 3))
      expect(await stage.a.takeDigest(upload.id, 'md5')).toMatchObject({ outcome: 'ours' })
    })

    fact('unknown, removed, expired and finished uploads, and other blobs: nothing', async (stage) => {
      const { upload, other } = await threeChunks(stage)
      const stranger = { id: randomUUID(), epoch: stage.a.epoch }
      expect(await stage.a.forgetLost(upload.id, stranger)).toBe(false)
      expect(await stage.a.forgetLost(randomUUID(), other)).toBe(false)
      const due = await threeChunks(stage)
      await stage.bench.makeDue(due.upload.id)
      expect(await stage.a.forgetLost(due.upload.id, due.first)).toBe(false)
      const gone = await threeChunks(stage)
      await stage.a.terminate(gone.upload.id, null)
      expect(await stage.a.forgetLost(gone.upload.id, gone.first)).toBe(false)
      await stage.a.complete(finishOf(upload))
      expect(await stage.a.forgetLost(upload.id, other)).toBe(false)
      expect(await stage.content(upload)).toBe('abcDEFghi')
    })

    fact('a chunk recorded at the same moment is not promised where it is gone', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 15; round++) {
        const upload = await stage.chunked(6)
        await stage.chunk(upload, 0, 'abc')
        const lost = await blobAt(stage, upload, 0)
        const claim = await claimed(b, upload, { start: 3, stop: 6 })
        const stop = stage.write(claim, 'def')
        await Promise.all([lose(stage, upload, lost), codeOf(b.record(claim, stop))])
        expect(await received(stage.a, upload)).toEqual([])
        for (const start of [3, 0]) await stage.chunk(upload, start, 'xyz')
        expect(await stage.beginning(upload)).toBe('xyzxyz')
      }
    })
  })

  describe('bytes that are gone: of a tus upload', () => {
    fact('what comes before the first of them is kept', async (stage) => {
      const { upload, blobs } = await threePieces(stage)
      const [first, second, third] = blobs as [Blob, Blob, Blob]
      expect(await stage.beginning(upload)).toBe('abcdefgh')
      expect(await lose(stage, upload, second)).toBe(true)
      expect(await stage.beginning(upload)).toBe('abc')
      expect(await found(stage.a, upload)).toMatchObject({ offset: 3, status: 'in_progress' })
      expect(ids(await stage.a.unreferencedBlobs(10))).toEqual(ids([second, third]))
      const claim = await claimed(stage.a, { ...upload, offset: 3 })
      expect(claim).toMatchObject({ fresh: true, blobOffset: 0 })
      await stage.a.record(claim, stage.write(claim, 'DEF'))
      expect(await stage.beginning(upload)).toBe('abcDEF')
      expect(await lose(stage, upload, first)).toBe(true)
      expect(await stage.beginning(upload)).toBe('')
      const whole = await stage.append({ ...upload, offset: 0 }, '0123456789')
      expect(whole.status).toBe('complete')
      expect(await stage.content(upload)).toBe('0123456789')
      expect(await stage.a.forgetLost(upload.id, first)).toBe(false)
    })

    fact('whoever goes on behind them is told, and records nothing', async (stage) => {
      const b = await stage.bench.node()
      const { upload, blobs } = await threePieces(stage)
      const claim = await claimed(b, { ...upload, offset: 8 })
      const told = aborted(claim.yielded)
      expect(await lose(stage, upload, blobs[0] as Blob)).toBe(true)
      await told
      expect(await b.checkpoint([{ claim, stop: 9 }])).toEqual([claim.token])
      expect(await codeOf(b.record(claim, stage.write(claim, 'ij')))).toBe('claim_lost')
      expect(await stage.beginning(upload)).toBe('')
      expect(await codeOf(b.claim(claimOf(upload, { start: 8 })))).toBe('offset_mismatch')
    })

    fact('a checkpoint at the same moment is not promised either', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 15; round++) {
        const upload = await stage.a.create(draft())
        const claim = await claimed(b, upload)
        await b.checkpoint([{ claim, stop: stage.write(claim, 'abc') }])
        const stop = stage.write(claim, 'def', 3)
        await Promise.all([lose(stage, upload, claim.blob), b.checkpoint([{ claim, stop }])])
        expect(await stage.beginning(upload)).toBe('')
      }
    })

    fact('of a part, the final that waits for it goes on waiting', async (stage) => {
      const part = await stage.a.create(draft({ kind: 'partial', length: 3 }))
      const claim = await claimed(stage.a, part)
      await stage.a.record(claim, stage.write(claim, 'ab'))
      expect(await lose(stage, part, claim.blob)).toBe(true)
      expect((await stage.append({ ...part, offset: 0 }, 'xyz')).status).toBe('complete')
      expect(await stage.content(part)).toBe('xyz')
      expect(await stage.a.forgetLost(part.id, claim.blob)).toBe(false)
    })
  })
}

/** 'abc' and 'ghi' in one blob, and 'DEF' between them in another. */
async function threeChunks(stage: Stage, length = 9) {
  const upload = await stage.chunked(length)
  for (const [start, text] of [
    [0, 'abc'],
    [3, 'def'],
    [6, 'ghi'],
    [3, 'DEF'],
  ] as const) {
    await stage.chunk(upload, start, text)
  }
  return { upload, first: await blobAt(stage, upload, 0), other: await blobAt(stage, upload, 3) }
}

/** 'abc', 'def' and 'gh', each in a blob of its own, as each writer froze. */
async function threePieces(stage: Stage) {
  const upload = await stage.a.create(draft())
  const blobs: Blob[] = []
  for (const [offset, text] of [
    [0, 'abc'],
    [3, 'def'],
    [6, 'gh'],
  ] as const) {
    const node = await stage.bench.node()
    const claim = await claimed(node, { ...upload, offset })
    blobs.push(claim.blob)
    await node.checkpoint([{ claim, stop: stage.write(claim, text) }])
    await stage.bench.lapse(node)
  }
  return { upload, blobs }
}

async function lose(stage: Stage, upload: Upload, blob: Blob): Promise<boolean> {
  stage.lose(blob)
  return stage.a.forgetLost(upload.id, blob)
}

async function blobAt(stage: Stage, upload: Upload, at: number): Promise<Blob> {
  const extents = (await stage.a.prefix(upload.id))?.extents ?? []
  const extent = extents.find(({ start, stop }) => start <= at && at < stop)
  if (extent === undefined) throw new Error(`nothing is received at ${at}`)
  return extent.blob
}

async function received(registry: UploadRegistry, upload: Upload): Promise<number[][]> {
  const described = await registry.describe(upload.id, upload.owner)
  return (described?.received ?? []).map(({ start, stop }) => [start, stop])
}
