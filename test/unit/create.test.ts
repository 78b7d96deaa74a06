import { describe, expect, it } from 'vitest'
import { create } from '../../src/upload/create.js'
import { UploadError } from '../../src/upload/errors.js'
import {
  append,
  codeOf,
  contentOf,
  createWith,
  draft,
  failing,
  sending,
  sha1,
  World,
  whole,
} from '../support/use-cases.js'

/** Larger than what is stored before its row. */
const LARGE = 'x'.repeat(1024 * 1024 + 1)

describe('creating', () => {
  it('tells that an upload began, and of an empty one that it is complete', async () => {
    const a = new World().process()
    await create(a.engine, draft())
    await create(a.engine, draft({ length: 0 }))
    expect(a.told).toEqual(['upload_started whole', 'upload_started whole', 'upload_completed whole'])
  })

  it('an upload longer than allowed is refused', async () => {
    const a = new World().process({ maxSize: 5 })
    expect(await codeOf(create(a.engine, draft({ length: 6 })))).toBe('size_exceeded')
    expect(await codeOf(create(a.engine, draft({ length: 5 })))).toBe('none')
    expect(await codeOf(create(a.engine, draft({ length: null })))).toBe('none')
  })

  it('a listener that throws or rejects changes nothing', async () => {
    const a = new World().process()
    a.engine.events.on('upload_started', () => {
      throw new Error('no')
    })
    a.engine.events.on('upload_started', () => Promise.reject(new Error('no')))
    a.engine.events.on('upload_started', ({ upload }) => void a.told.push(`after ${upload.kind}`))
    expect(await create(a.engine, draft())).toMatchObject({ status: 'in_progress' })
    expect(a.told).toEqual(['upload_started whole', 'after whole'])
  })
})

for (const [size, text, announced] of [
  ['a small body', 'hello', 5],
  ['a body of unknown size', 'hello', null],
  ['a large body', LARGE, LARGE.length],
] as const) {
  const length = text.length

  describe(`creating with ${size}`, () => {
    it('all of it: complete, and told in order', async () => {
      const a = new World().process()
      const upload = await createWith(a, draft({ length }), whole(text), { announced })
      expect(upload).toMatchObject({ status: 'complete', offset: length })
      expect(a.told).toEqual([
        'upload_started whole',
        `chunk_received whole 0-${length}`,
        'upload_completed whole',
      ])
    })

    it('the first part of it: the upload goes on there', async () => {
      const a = new World().process()
      const upload = await createWith(a, draft({ length: length + 1 }), whole(text), { announced })
      expect(upload).toMatchObject({ status: 'in_progress', offset: length })
      expect(await append(a, upload, whole('!'))).toMatchObject({ completed: true })
      expect(await a.registry.extents(upload.id, null)).toHaveLength(1)
    })

    it('of a deferred length: it stays open', async () => {
      const a = new World().process()
      const upload = await createWith(a, draft({ length: null }), whole(text), { announced })
      expect(upload).toMatchObject({ status: 'in_progress', offset: length, length: null })
    })

    it('longer than the upload: nothing is created', async () => {
      const world = new World()
      const a = world.process()
      const made = draft({ length: length - 1 })
      expect(await codeOf(createWith(a, made, whole(text), { announced }))).toBe('size_exceeded')
      await nothingLeft(world, made.id)
    })

    it('longer than allowed: nothing is created', async () => {
      const world = new World()
      const a = world.process({ maxSize: length - 1 })
      const made = draft({ length: null })
      expect(await codeOf(createWith(a, made, whole(text), { announced }))).toBe('size_exceeded')
      await nothingLeft(world, made.id)
    })

    for (const when of ['before', 'after'] as const) {
      const digest = (of: string) => (when === 'before' ? { before: sha1(of) } : { after: () => sha1(of) })

      it(`with a checksum known ${when} that fits`, async () => {
        const a = new World().process()
        const expected = digest(text)
        const upload = await createWith(a, draft({ length }), whole(text), { announced, expected })
        expect(upload.status).toBe('complete')
      })

      it(`with a checksum known ${when} that does not fit: nothing is created`, async () => {
        const world = new World()
        const a = world.process()
        const made = draft({ length })
        const creating = createWith(a, made, whole(text), { announced, expected: digest('other') })
        expect(await codeOf(creating)).toBe('checksum_mismatch')
        await nothingLeft(world, made.id)
      })
    }

    it('on a full disk: created with what was kept, and it goes on', async () => {
      const world = new World()
      const a = world.process()
      world.bytes.room = 3
      const upload = await createWith(a, draft({ length }), whole(text), { announced })
      expect(upload).toMatchObject({ status: 'in_progress', offset: 3 })
      world.bytes.room = Infinity
      await append(a, upload, whole(text.slice(3)))
      expect((await a.registry.find(upload.id, null))?.upload.status).toBe('complete')
    })

    it('on a full disk that takes nothing at all: created empty, and it goes on', async () => {
      const world = new World()
      const a = world.process()
      world.bytes.room = 0
      const upload = await createWith(a, draft({ length }), whole(text), { announced })
      expect(upload).toMatchObject({ status: 'in_progress', offset: 0 })
      world.bytes.room = Infinity
      expect(await append(a, upload, whole(text))).toMatchObject({ completed: true })
    })

    it('on a full disk with a checksum: nothing unchecked is kept, and no blame falls on the client', async () => {
      const world = new World()
      const a = world.process()
      world.bytes.room = 3
      const made = draft({ length })
      const code = await codeOf(
        createWith(a, made, whole(text), { announced, expected: { before: sha1(text) } }),
      )
      expect(['none', 'storage_full']).toContain(code)
      expect((await a.registry.find(made.id, null))?.upload.offset ?? 0).toBe(0)
    })

    it('while the server drains: created with what was kept', async () => {
      const world = new World()
      const a = world.process()
      const stopping = new AbortController()
      const made = draft({ length })
      const source = sending(text.slice(0, 3))
      const creating = createWith(a, made, source, { announced, signal: stopping.signal })
      await world.bytes.arrived(3)
      stopping.abort(new UploadError('draining', 'The server stops.'))
      const upload = await creating
      expect(upload).toMatchObject({ status: 'in_progress', offset: 3 })
      await append(a, upload, whole(text.slice(3)))
      expect(await a.registry.find(upload.id, null)).toMatchObject({
        held: false,
        upload: { status: 'complete' },
      })
    })

    it('cut off by its client: nothing is left, as nobody learnt its address', async () => {
      const world = new World()
      const a = world.process()
      const made = draft({ length })
      const source = sending(text.slice(0, 3))
      const creating = codeOf(createWith(a, made, source, { announced }))
      await world.bytes.arrived(3)
      source.destroy()
      expect(await creating).toBe('request_incomplete')
      await nothingLeft(world, made.id)
    })
  })
}

describe('creating with a body that cannot be recorded', () => {
  it('a database that was away leaves the bytes to the sweep of this epoch: their row may stand', async () => {
    const world = new World()
    const a = world.process({}, (registry) => failing(registry, 'createStored', 1))
    const made = draft()
    expect(await codeOf(createWith(a, made, whole('hello'), { announced: 5 }))).toBe('registry_unavailable')
    expect(world.bytes.blobs).toHaveLength(1)
    expect(a.told).toEqual([])
  })

  it('a node that lost its lease meanwhile creates nothing and leaves no bytes', async () => {
    const world = new World()
    const a = world.process()
    const source = sending('hel')
    const made = draft()
    const creating = codeOf(createWith(a, made, source, { announced: 5 }))
    await world.bytes.arrived(3)
    a.registry.lapse()
    source.end('lo')
    expect(await creating).toBe('registry_unavailable')
    await nothingLeft(world, made.id)
    expect(a.told).toEqual([])
  })

  it('a removal that fails does not hide why the creation failed', async () => {
    const a = new World().process({}, (registry) => failing(registry, 'terminate', 1))
    const expected = { before: sha1('other') }
    expect(await codeOf(createWith(a, draft(), whole('hello'), { expected }))).toBe('checksum_mismatch')
  })

  it('the content is what was sent', async () => {
    const a = new World().process()
    const small = await createWith(a, draft(), whole('hello'), { announced: 5 })
    const streamed = await createWith(a, draft(), whole('world'))
    expect([await contentOf(a, small), await contentOf(a, streamed)]).toEqual(['hello', 'world'])
  })
})

async function nothingLeft(world: World, id: string): Promise<void> {
  const { registry } = world.process()
  expect(await registry.find(id, null)).toBeNull()
  expect(world.bytes.blobs).toEqual([])
  expect(await registry.unreferencedBlobs(10)).toEqual([])
}
