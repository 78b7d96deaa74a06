import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Checkpoints } from '../../src/upload/checkpoints.js'
import { silent } from '../../src/upload/log.js'
import type { BlobWrite, Claim, UploadRegistry } from '../../src/upload/ports.js'
import { draft, failing, World } from '../support/use-cases.js'

const MIB = 1024 * 1024
const TICK_MS = 1_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
})

afterEach(() => {
  vi.useRealTimers()
})

describe('checkpoints', () => {
  it('one statement a tick records the progress of all writes', async () => {
    const { checkpoints, claim, seen, offset } = await stage()
    const claims = [await claim(100), await claim(100)]
    const follows = claims.map((each, index) => checkpoints.follow(each, stored(index + 3)))
    for (const [index, follow] of follows.entries()) void follow.stored(index + 3)
    vi.advanceTimersByTime(TICK_MS)
    await Promise.all(follows.map((follow) => follow.stop()))
    expect(seen).toEqual([2])
    expect(await Promise.all(claims.map(offset))).toEqual([3, 4])
  })

  it('a tick without progress says nothing', async () => {
    const { checkpoints, claim, seen } = await stage()
    const follow = checkpoints.follow(await claim(100), stored(3))
    vi.advanceTimersByTime(TICK_MS)
    await follow.stop()
    expect(seen).toEqual([])
  })

  it('what is durable is recorded, not what was stored', async () => {
    const { checkpoints, claim, offset } = await stage()
    const held = await claim(100)
    const follow = checkpoints.follow(held, stored(3))
    void follow.stored(50)
    vi.advanceTimersByTime(TICK_MS)
    await follow.stop()
    expect(await offset(held)).toBe(3)
  })

  it('a write that got far is recorded at once', async () => {
    const { checkpoints, claim, offset } = await stage()
    const held = await claim(1_000 * MIB)
    const follow = checkpoints.follow(held, stored(40 * MIB))
    void follow.stored(40 * MIB)
    await follow.stop()
    expect(await offset(held)).toBe(40 * MIB)
  })

  it('and is made to wait before more than 64 MiB could be lost', async () => {
    const { checkpoints, claim, offset } = await stage()
    const held = await claim(1_000 * MIB)
    const follow = checkpoints.follow(held, stored(64 * MIB))
    await follow.stored(64 * MIB)
    expect(await offset(held)).toBe(64 * MIB)
    await follow.stop()
  })

  it('the last byte is never recorded by a checkpoint: it would look complete without being', async () => {
    const { checkpoints, claim, seen } = await stage()
    const follow = checkpoints.follow(await claim(5), stored(5))
    void follow.stored(5)
    vi.advanceTimersByTime(TICK_MS)
    await follow.stop()
    expect(seen).toEqual([])
  })

  it('nothing is recorded after a write was let go', async () => {
    const { checkpoints, claim, seen } = await stage()
    const follow = checkpoints.follow(await claim(100), stored(5))
    void follow.stored(5)
    await follow.stop()
    vi.advanceTimersByTime(3 * TICK_MS)
    expect(seen).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('a database that is away costs a checkpoint, and nothing else', async () => {
    const { checkpoints, claim, offset } = await stage((registry) => failing(registry, 'checkpoint', 1))
    const held = await claim(1_000 * MIB)
    const follow = checkpoints.follow(held, stored(64 * MIB))
    await follow.stored(64 * MIB)
    expect(await offset(held)).toBe(0)
    await follow.stored(64 * MIB)
    expect(await offset(held)).toBe(64 * MIB)
    await follow.stop()
  })

  it('a write whose bytes cannot be made durable keeps no other from being recorded', async () => {
    const { checkpoints, claim, offset } = await stage()
    const [broken, held] = [await claim(100), await claim(100)]
    const never: BlobWrite = { ...stored(0), durable: () => Promise.reject(new Error('EIO')) }
    const follows = [checkpoints.follow(broken, never), checkpoints.follow(held, stored(7))]
    for (const follow of follows) void follow.stored(7)
    vi.advanceTimersByTime(TICK_MS)
    await Promise.all(follows.map((follow) => follow.stop()))
    expect(await offset(held)).toBe(7)
  })
})

/** A write of which so many bytes are durable. */
function stored(bytes: number): BlobWrite {
  return { done: Promise.resolve({ stored: bytes, ended: 'end' }), durable: async () => bytes }
}

async function stage(around: (registry: UploadRegistry) => UploadRegistry = (registry) => registry) {
  const { registry } = new World().process()
  const seen: number[] = []
  const counting = new Proxy(registry, {
    get(target, name) {
      if (name !== 'checkpoint') {
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      }
      return (progress: Parameters<UploadRegistry['checkpoint']>[0]) => {
        seen.push(progress.length)
        return target.checkpoint(progress)
      }
    },
  })
  const claim = async (length: number): Promise<Claim> => {
    const { id } = await registry.create(draft({ length }))
    const request = { id, owner: null, protocol: 'tus', start: 0, stop: null, declaredLength: null } as const
    const held = await registry.claim(request)
    if (held === null) throw new Error('the upload is held')
    return held
  }
  const offset = async ({ uploadId }: Claim) => (await registry.find(uploadId, null))?.upload.offset
  return { checkpoints: new Checkpoints(around(counting), silent), claim, offset, seen }
}
