import { describe, expect, it } from 'vitest'
import { Background } from '../../src/upload/background.js'
import { concatenate } from '../../src/upload/concatenate.js'
import { create } from '../../src/upload/create.js'
import { terminate } from '../../src/upload/terminate.js'
import { codeOf, contentOf, draft, failing, finalOf, stored, World } from '../support/use-cases.js'

describe('concatenating', () => {
  it('tells that the final began and is complete', async () => {
    const a = new World().process()
    const part = await stored(a, 'hello', { kind: 'partial' })
    await concatenate(a.engine, finalOf([part]))
    expect(a.told).toEqual(['upload_started final', 'upload_completed final'])
  })

  it('tells of one that waits only that it began', async () => {
    const a = new World().process()
    const part = await create(a.engine, draft({ kind: 'partial' }))
    a.told.splice(0)
    await concatenate(a.engine, finalOf([part]))
    expect(a.told).toEqual(['upload_started final'])
  })

  it('tells nothing of a request that is repeated, wherever', async () => {
    const world = new World()
    const [a, b] = [world.process(), world.process()]
    const part = await stored(a, 'hello', { kind: 'partial' })
    const first = await concatenate(a.engine, finalOf([part]))
    a.told.splice(0)
    for (const on of [a, b]) {
      expect(await concatenate(on.engine, finalOf([part]))).toEqual({ upload: first.upload, repeated: true })
      expect(on.told).toEqual([])
    }
  })

  it('makes one blob before it answers, if told to', async () => {
    const a = new World().process({ assembly: 'inline' })
    const parts = [await stored(a, 'he', { kind: 'partial' }), await stored(a, 'llo', { kind: 'partial' })]
    const { upload } = await concatenate(a.engine, finalOf(parts))
    expect(a.told).toEqual(['upload_started final', 'upload_completed final', 'upload_assembled final'])
    expect(await a.registry.extents(upload.id, null)).toHaveLength(1)
    expect(await contentOf(a, upload)).toBe('hello')
  })

  it('does so even beside the work in the background', async () => {
    const a = new World().process({ assembly: 'inline' })
    const background = new Background(a.engine, { sweepEvery: 60_000, assembleEvery: 60_000 })
    background.start()
    const parts = [await stored(a, 'he', { kind: 'partial' }), await stored(a, 'llo', { kind: 'partial' })]
    const { upload } = await concatenate(a.engine, finalOf(parts))
    const extents = await a.registry.extents(upload.id, null)
    await background.stop()
    expect(extents).toHaveLength(1)
  })

  it('a final that is made but cannot be assembled at once is made all the same', async () => {
    const world = new World()
    const a = world.process({ assembly: 'inline' }, (registry) => failing(registry, 'takeAssembly', 1))
    const parts = [await stored(a, 'he', { kind: 'partial' }), await stored(a, 'llo', { kind: 'partial' })]
    expect(await codeOf(concatenate(a.engine, finalOf(parts)))).toBe('none')
  })
})

describe('terminating', () => {
  it('removes the record and the bytes, and tells it', async () => {
    const world = new World()
    const a = world.process()
    const upload = await stored(a, 'hello')
    await terminate(a.engine, upload.id, null)
    expect(await a.registry.find(upload.id, null)).toBeNull()
    expect(world.bytes.blobs).toEqual([])
    expect(await a.registry.unreferencedBlobs(10)).toEqual([])
    expect(a.told).toEqual(['upload_terminated whole'])
    expect(await codeOf(terminate(a.engine, upload.id, null))).toBe('upload_not_found')
  })

  it('what belongs to somebody else is not found', async () => {
    const a = new World().process()
    const upload = await stored(a, 'hello', { owner: 'ann' })
    for (const owner of ['bob', null]) {
      expect(await codeOf(terminate(a.engine, upload.id, owner))).toBe('upload_not_found')
    }
    expect(a.told).toEqual([])
  })

  it('keeps the bytes a final has, and tells of finals that end with it', async () => {
    const world = new World()
    const a = world.process()
    const part = await stored(a, 'hello', { kind: 'partial' })
    const other = await create(a.engine, draft({ kind: 'partial' }))
    const { upload: final } = await concatenate(a.engine, finalOf([part]))
    await concatenate(a.engine, finalOf([part, other]))
    a.told.splice(0)
    await terminate(a.engine, part.id, null)
    expect(a.told).toEqual(['upload_terminated partial', 'upload_expired final'])
    expect(await contentOf(a, final)).toBe('hello')
    await terminate(a.engine, other.id, null)
    expect(a.told.slice(2)).toEqual(['upload_terminated partial'])
  })

  it('bytes that cannot be removed now are left to the sweep', async () => {
    const world = new World()
    const a = world.process()
    const upload = await stored(a, 'hello')
    world.bytes.stuck = true
    await terminate(a.engine, upload.id, null)
    expect(await a.registry.unreferencedBlobs(10)).toHaveLength(1)
  })
})
