import { describe, expect, it } from 'vitest'
import { create } from '../../src/upload/create.js'
import { sweep } from '../../src/upload/sweep.js'
import { terminate } from '../../src/upload/terminate.js'
import {
  append,
  contentOf,
  draft,
  finalOf,
  sending,
  stored,
  stray,
  World,
  whole,
} from '../support/use-cases.js'

const DAY_MS = 24 * 60 * 60 * 1000

describe('sweeping', () => {
  it('finds nothing to do where nothing is due', async () => {
    const a = new World().process()
    const upload = await stored(a, 'hello')
    expect(await sweep(a.engine)).toEqual({ expired: 0, removedBlobs: 0, removedFiles: 0 })
    expect(await contentOf(a, upload)).toBe('hello')
  })

  it('ends what was left alone, tells it once and removes its bytes', async () => {
    const world = new World()
    const [a, b] = [world.process(), world.process()]
    const upload = await create(a.engine, draft())
    await append(a, upload, whole('hel'))
    const kept = await stored(a, 'hello')
    a.told.splice(0)
    world.now += 2 * DAY_MS
    const swept = await Promise.all([sweep(a.engine), sweep(b.engine)])
    expect(swept.reduce((sum, { expired }) => sum + expired, 0)).toBe(1)
    expect([...a.told, ...b.told]).toEqual(['upload_expired whole'])
    expect(world.bytes.blobs).toHaveLength(1)
    expect(await contentOf(a, kept)).toBe('hello')
  })

  it('tells of a final that ends with its part', async () => {
    const world = new World()
    const a = world.process()
    const part = await create(a.engine, draft({ kind: 'partial' }))
    await a.registry.concatenate(finalOf([part]))
    a.told.splice(0)
    world.now += 2 * DAY_MS
    await sweep(a.engine)
    expect(a.told.sort()).toEqual(['upload_expired final', 'upload_expired partial'])
  })

  it('never ends what is being written', async () => {
    const world = new World()
    const a = world.process()
    const upload = await create(a.engine, draft())
    const source = sending('hel')
    const received = append(a, upload, source)
    await world.bytes.arrived(3)
    world.now += 2 * DAY_MS
    expect(await sweep(world.process().engine)).toMatchObject({ expired: 0 })
    source.end('lo')
    expect(await received).toMatchObject({ completed: true })
  })

  it('takes many at a time, and all of them', async () => {
    const world = new World()
    const a = world.process()
    for (let count = 0; count < 250; count++) await create(a.engine, draft())
    world.now += 2 * DAY_MS
    expect(await sweep(a.engine)).toMatchObject({ expired: 250 })
  })

  it('removes later what could not be removed at once', async () => {
    const world = new World()
    const a = world.process()
    const uploads = [await stored(a, 'one'), await stored(a, 'two')]
    world.bytes.stuck = true
    for (const { id } of uploads) await terminate(a.engine, id, null)
    expect(await sweep(a.engine)).toMatchObject({ removedBlobs: 0 })
    world.bytes.stuck = false
    expect(await sweep(a.engine)).toMatchObject({ removedBlobs: 2 })
    expect(world.bytes.blobs).toEqual([])
    expect(await a.registry.unreferencedBlobs(10)).toEqual([])
  })

  it('removes what a dead process left without a row, and nothing else', async () => {
    const world = new World()
    const [dead, b] = [world.process(), world.process()]
    const upload = await stored(dead, 'hello')
    const epoch = dead.registry.epoch
    await stray(world, epoch)
    await stray(world, b.registry.epoch)
    dead.registry.die()
    expect(await sweep(b.engine)).toMatchObject({ removedFiles: 0 })
    world.now += 10_000
    expect(await sweep(b.engine)).toMatchObject({ removedFiles: 1 })
    expect(world.bytes.blobs).toHaveLength(2)
    expect(await contentOf(b, upload)).toBe('hello')
    expect(await sweep(b.engine)).toMatchObject({ removedFiles: 0 })
  })

  it('an epoch whose files cannot be swept is tried again, and keeps no other from being swept', async () => {
    const world = new World()
    const [first, second, b] = [world.process(), world.process(), world.process()]
    for (const { registry } of [first, second]) {
      await stray(world, registry.epoch)
      registry.die()
    }
    world.now += 10_000
    const stuck = first.registry.epoch
    world.bytes.unsweepable.add(stuck)
    await sweep(b.engine).catch(() => undefined)
    expect(world.bytes.blobs.map(({ epoch }) => epoch)).toEqual([stuck])
    world.bytes.unsweepable.clear()
    await sweep(b.engine)
    expect(world.bytes.blobs).toEqual([])
  })

  it('stops when told to', async () => {
    const world = new World()
    const a = world.process()
    await create(a.engine, draft())
    world.now += 2 * DAY_MS
    expect(await sweep(a.engine, AbortSignal.abort())).toMatchObject({ expired: 0 })
  })
})
