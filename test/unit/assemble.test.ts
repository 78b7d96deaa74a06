import { describe, expect, it } from 'vitest'
import { assemble } from '../../src/upload/assemble.js'
import { Background } from '../../src/upload/background.js'
import { content } from '../../src/upload/content.js'
import { terminate } from '../../src/upload/terminate.js'
import type { Upload } from '../../src/upload/upload.js'
import { codeOf, contentOf, finalOf, type Process, stored, World } from '../support/use-cases.js'

describe('assembling', () => {
  it('leaves one blob, tells it, and removes the old ones', async () => {
    const { world, a, final, parts } = await finalOfTwo()
    expect(await assemble(a.engine)).toBe(true)
    expect(a.told).toEqual(['upload_assembled final'])
    expect(world.bytes.blobs).toHaveLength(1)
    expect(await contentOf(a, final)).toBe('hello world')
    expect(await Promise.all(parts.map((part) => contentOf(a, part)))).toEqual(['hello ', 'world'])
    expect(await assemble(a.engine)).toBe(false)
  })

  it('a node that is killed half-way loses nothing: another makes it', async () => {
    const { world, a, final } = await finalOfTwo()
    const b = world.process()
    let steps = 0
    world.bytes.onStep = () => {
      steps += 1
      if (steps === 2) a.registry.die()
    }
    await expect(assemble(a.engine)).rejects.toThrow()
    expect(await contentOf(b, final)).toBe('hello world')
    world.now += 60_000
    expect(await assemble(b.engine)).toBe(true)
    expect(await contentOf(b, final)).toBe('hello world')
    expect(b.told).toEqual(['upload_assembled final'])
  })

  it('one that is stopped is given back, and goes on where it was', async () => {
    const { world, a, final } = await finalOfTwo()
    const stopping = new AbortController()
    let steps = 0
    world.bytes.onStep = () => {
      steps += 1
      if (steps === 2) stopping.abort()
    }
    expect(await assemble(a.engine, undefined, stopping.signal)).toBe(true)
    steps = 10
    expect(await assemble(world.process().engine, final.id)).toBe(true)
    expect(steps).toBe(11)
    expect(await contentOf(a, final)).toBe('hello world')
  })

  it('a final that is removed meanwhile stays removed, and nothing is left of it', async () => {
    const { world, a, final, parts } = await finalOfTwo()
    const b = world.process()
    world.bytes.onStep = async () => {
      world.bytes.onStep = () => undefined
      for (const each of [final, ...parts]) await terminate(b.engine, each.id, null)
    }
    await assemble(a.engine)
    expect(await a.registry.find(final.id, null)).toBeNull()
    expect(a.told).toEqual([])
    const doomed = new Set((await a.registry.unreferencedBlobs(10)).map(({ id }) => id))
    expect(world.bytes.blobs.filter(({ id }) => !doomed.has(id))).toEqual([])
  })

  it('a node that lost it to another tells nothing and removes nothing', async () => {
    const { world, a, final } = await finalOfTwo()
    const b = world.process()
    world.bytes.onStep = async () => {
      world.bytes.onStep = () => undefined
      a.registry.lapse()
      await assemble(b.engine, final.id)
    }
    await assemble(a.engine)
    expect([a.told, b.told]).toEqual([[], ['upload_assembled final']])
    expect(await contentOf(b, final)).toBe('hello world')
  })

  it('two nodes at once make it once', async () => {
    const { world, a, final } = await finalOfTwo()
    const b = world.process()
    const made = await Promise.all([assemble(a.engine), assemble(b.engine)])
    expect(made.filter(Boolean)).toHaveLength(1)
    expect([...a.told, ...b.told]).toEqual(['upload_assembled final'])
    expect(await contentOf(a, final)).toBe('hello world')
  })

  it('goes on in the background as soon as a final is complete, and stops when told', async () => {
    const { a, final } = await finalOfTwo()
    const background = new Background(a.engine, { sweepEvery: 60_000, assembleEvery: 60_000 })
    const assembled = new Promise<Upload>((resolve) => {
      a.engine.events.on('upload_assembled', ({ upload }) => resolve(upload))
    })
    background.start()
    expect(await assembled).toMatchObject({ id: final.id })
    await background.stop()
  })
})

describe('reading', () => {
  it('any range, over the seams of the parts', async () => {
    const { a, final } = await finalOfTwo()
    const text = 'hello world'
    for (let start = 0; start <= text.length; start++) {
      for (let stop = start; stop <= text.length; stop++) {
        expect(await read(a, final, start, stop)).toBe(text.slice(start, stop))
      }
    }
  })

  it('goes on at the same byte when the blobs are replaced under it', async () => {
    for (let at = 1; at <= 11; at++) {
      const { world, a, final } = await finalOfTwo()
      const b = world.process()
      let steps = 0
      world.bytes.onStep = async () => {
        steps += 1
        if (steps !== at) return
        world.bytes.onStep = () => undefined
        await assemble(b.engine, final.id)
      }
      expect(await contentOf(a, final)).toBe('hello world')
      expect(b.told).toEqual(['upload_assembled final'])
    }
  })

  it('ends with an error when the upload goes away under it', async () => {
    const { world, a, final, parts } = await finalOfTwo()
    let steps = 0
    world.bytes.onStep = async () => {
      steps += 1
      if (steps === 3) for (const each of [final, ...parts]) await terminate(a.engine, each.id, null)
    }
    expect(await codeOf(contentOf(a, final))).toBe('upload_not_found')
  })

  it('fails when the bytes are gone though the rows are not, instead of trying for ever', async () => {
    const { world, a, final } = await finalOfTwo()
    for (const blob of world.bytes.blobs) await world.bytes.lose(blob)
    expect(await codeOf(contentOf(a, final))).toBe('blob_gone')
  })

  it('what belongs to somebody else is not found', async () => {
    const { a, final } = await finalOfTwo()
    expect(await codeOf(contentOf(a, { ...final, owner: 'bob' }))).toBe('upload_not_found')
  })

  it('a range beyond the content ends with an error, instead of never', async () => {
    const { a, final } = await finalOfTwo()
    await expect(read(a, final, 5, 12)).rejects.toThrow()
  })
})

async function finalOfTwo(): Promise<{ world: World; a: Process; final: Upload; parts: Upload[] }> {
  const world = new World()
  const a = world.process()
  const parts = [
    await stored(a, 'hello ', { kind: 'partial' }),
    await stored(a, 'world', { kind: 'partial' }),
  ]
  const { upload: final } = await a.registry.concatenate(finalOf(parts))
  return { world, a, final, parts }
}

async function read({ engine }: Process, upload: Upload, start: number, stop: number): Promise<string> {
  let text = ''
  for await (const piece of content(engine, upload.id, upload.owner, { start, stop })) text += String(piece)
  return text
}
