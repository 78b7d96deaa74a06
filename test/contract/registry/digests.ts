import { randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import type { Digest } from '../../../src/upload/digest.js'
import type { UploadRegistry } from '../../../src/upload/ports.js'
import type { Upload } from '../../../src/upload/upload.js'
import { type Fact, finishOf } from './stage.js'

/** Long enough that a wait which ends by itself would make the test fail. */
const FOREVER_MS = 60_000

export function digestOf(text: string): Digest {
  return { algorithm: 'md5', bytes: Buffer.from(text.padEnd(16)) }
}

/** A turn that must be ours. */
export async function turn(registry: UploadRegistry, upload: Upload): Promise<number> {
  const taken = await registry.takeDigest(upload.id, 'md5')
  if (taken?.outcome !== 'ours') throw new Error(`the turn is ${taken?.outcome}`)
  return taken.token
}

export function digests(fact: Fact): void {
  describe('working out a digest', () => {
    fact('is the turn of one node, until it says what it is', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(3)
      const token = await turn(stage.a, upload)
      expect(await b.takeDigest(upload.id, 'md5')).toEqual({ outcome: 'elsewhere' })
      expect(await stage.a.noteDigest(upload.id, token, digestOf('x'))).toBe(true)
      for (const node of [stage.a, b]) {
        const known = { outcome: 'known', digest: digestOf('x') }
        expect(await node.takeDigest(upload.id, 'md5')).toEqual(known)
      }
    })

    fact('each algorithm and each upload has turns of its own', async (stage) => {
      const b = await stage.bench.node()
      const [one, two] = [await stage.chunked(3), await stage.chunked(3)]
      await turn(stage.a, one)
      expect(await b.takeDigest(one.id, 'sha256')).toMatchObject({ outcome: 'ours' })
      expect(await b.takeDigest(two.id, 'md5')).toMatchObject({ outcome: 'ours' })
    })

    fact('of many that ask at once, one node gets it', async (stage) => {
      const nodes = [stage.a, await stage.bench.node(), await stage.bench.node()]
      const upload = await stage.chunked(3)
      const turns = await Promise.all(nodes.map((node) => node.takeDigest(upload.id, 'md5')))
      expect(turns.map((taken) => taken?.outcome).sort()).toEqual(['elsewhere', 'elsewhere', 'ours'])
    })

    fact('a turn left is there for the next, who is woken', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(3)
      const token = await turn(stage.a, upload)
      const woken = b.handedBack(upload.id, FOREVER_MS)
      await stage.a.leaveDigest(upload.id, token)
      await woken
      await turn(b, upload)
      expect(await stage.a.noteDigest(upload.id, token, digestOf('x'))).toBe(false)
    })

    fact('a digest that is noted wakes those who wait', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(3)
      const token = await turn(stage.a, upload)
      const woken = b.handedBack(upload.id, FOREVER_MS)
      await stage.a.noteDigest(upload.id, token, digestOf('x'))
      await woken
    })

    fact('the node at it hears that another one waits, until it stops listening', async (stage) => {
      const b = await stage.bench.node()
      const [upload, other] = [await stage.chunked(3), await stage.chunked(3)]
      for (const each of [upload, other]) await turn(stage.a, each)
      const heard: string[] = []
      const asked = async (which: Upload) => {
        const told = new Promise<void>((resolve) => {
          const stop = stage.a.onDigestWanted((id) => {
            heard.push(id)
            stop()
            resolve()
          })
        })
        await b.takeDigest(which.id, 'md5')
        await told
      }
      await asked(upload)
      await asked(other)
      expect(heard).toEqual([upload.id, other.id])
    })

    fact('a node that asks again gets another token, and the old one is void', async (stage) => {
      const upload = await stage.chunked(3)
      const first = await turn(stage.a, upload)
      const second = await turn(stage.a, upload)
      expect(second).not.toBe(first)
      expect(await stage.a.noteDigest(upload.id, first, digestOf('x'))).toBe(false)
      await stage.a.leaveDigest(upload.id, first)
      expect(await stage.a.noteDigest(upload.id, second, digestOf('x'))).toBe(true)
    })

    fact('the turn of a dead node falls to whoever asks', async (stage) => {
      const b = await stage.bench.node()
      const upload = await stage.chunked(3)
      const old = await turn(stage.a, upload)
      await stage.bench.lapse(stage.a)
      const token = await turn(b, upload)
      expect(await stage.a.noteDigest(upload.id, old, digestOf('old'))).toBe(false)
      expect(await b.noteDigest(upload.id, token, digestOf('new'))).toBe(true)
    })

    fact('said twice it is true twice, and nothing else is true then', async (stage) => {
      const upload = await stage.chunked(3)
      const token = await turn(stage.a, upload)
      expect(await stage.a.noteDigest(upload.id, token, digestOf('x'))).toBe(true)
      expect(await stage.a.noteDigest(upload.id, token, digestOf('x'))).toBe(true)
      expect(await stage.a.noteDigest(upload.id, token, digestOf('y'))).toBe(false)
      await stage.a.leaveDigest(upload.id, token)
      expect(await stage.a.takeDigest(upload.id, 'md5')).toMatchObject({ outcome: 'known' })
    })

    fact('a chunk that replaces another makes what was worked out worthless', async (stage) => {
      const upload = await stage.chunked(6)
      await stage.chunk(upload, 0, 'abc')
      const token = await turn(stage.a, upload)
      await stage.chunk(upload, 3, 'def')
      const later = await stage.a.takeDigest(upload.id, 'sha256')
      if (later?.outcome === 'ours') {
        await stage.a.noteDigest(upload.id, later.token, { algorithm: 'sha256', bytes: Buffer.alloc(32) })
      }
      await stage.chunk(upload, 0, 'ABC')
      expect(await stage.a.noteDigest(upload.id, token, digestOf('x'))).toBe(false)
      expect(await stage.a.takeDigest(upload.id, 'sha256')).toMatchObject({ outcome: 'ours' })
    })

    fact('more chunks do not', async (stage) => {
      const upload = await stage.chunked(6)
      const token = await turn(stage.a, upload)
      for (const start of [3, 0]) await stage.chunk(upload, start, 'abc')
      expect(await stage.a.noteDigest(upload.id, token, digestOf('x'))).toBe(true)
    })

    fact('there is none of an upload that is gone or expired', async (stage) => {
      const [due, gone] = [await stage.chunked(3), await stage.chunked(3)]
      const tokens = [await turn(stage.a, due), await turn(stage.a, gone)]
      await stage.bench.makeDue(due.id)
      await stage.a.terminate(gone.id, null)
      expect(await stage.a.takeDigest(due.id, 'md5')).toBeNull()
      await stage.a.expireDue(10)
      for (const [index, upload] of [due, gone].entries()) {
        expect(await stage.a.takeDigest(upload.id, 'md5')).toBeNull()
        expect(await stage.a.noteDigest(upload.id, tokens[index] ?? 0, digestOf('x'))).toBe(false)
        await stage.a.leaveDigest(upload.id, tokens[index] ?? 0)
      }
      expect(await stage.a.takeDigest(randomUUID(), 'md5')).toBeNull()
    })

    fact('other digests of a complete upload can be worked out, too', async (stage) => {
      const upload = await stage.chunked(0)
      await stage.a.complete(finishOf(upload))
      const token = await turn(stage.a, upload)
      expect(await stage.a.noteDigest(upload.id, token, digestOf('x'))).toBe(true)
    })

    fact('a replacement and a digest at the same moment: what is noted is of the content', async (stage) => {
      const b = await stage.bench.node()
      for (let round = 0; round < 15; round++) {
        const upload = await stage.chunked(1)
        await stage.chunk(upload, 0, 'a')
        const work = async () => {
          const token = await turn(b, upload)
          const text = (await stage.beginning(upload, b)) ?? ''
          await b.noteDigest(upload.id, token, digestOf(text))
        }
        await Promise.all([work(), stage.chunk(upload, 0, 'b')])
        const known = await b.takeDigest(upload.id, 'md5')
        if (known?.outcome === 'known') expect(known.digest).toEqual(digestOf('b'))
      }
    })
  })
}
