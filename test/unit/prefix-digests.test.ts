import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import type { Blob, Extent } from '../../src/upload/blob.js'
import { createHasher, type Digest, type DigestAlgorithm } from '../../src/upload/digest.js'
import { UploadError } from '../../src/upload/errors.js'
import { HashThreadLost, type RemoteHasher } from '../../src/upload/hash-threads.js'
import { silent } from '../../src/upload/log.js'
import type { DigestTurn, Prefix } from '../../src/upload/ports.js'
import { PrefixDigests, type PrefixDigestsLimits, WORTH_FOLLOWING } from '../../src/upload/prefix-digests.js'
import type { Upload } from '../../src/upload/upload.js'
import { Gate } from '../support/gate.js'
import { seededBytes } from '../support/seeded.js'
import { codeOf } from '../support/use-cases.js'

const MIB = 1024 * 1024

let opened: PrefixDigests[] = []

afterEach(async () => {
  await Promise.all(opened.map((digests) => digests.close()))
  opened = []
})

describe('following', () => {
  it('hashes chunks as they come, reads no byte twice, and notes the digest at the end', async () => {
    const { digests, registry, bytes, threads } = stage()
    const file = registry.add(seededBytes('in order', WORTH_FOLLOWING))
    for (let stop = 2 * MIB; stop <= file.content.length; stop += 2 * MIB) {
      file.stop = stop
      digests.follow(file.upload, 'md5')
      await expect.poll(() => threads.hashed).toBe(stop)
    }
    await expect.poll(() => file.known('md5')).toEqual(digestOf('md5', file.content))
    expect(bytes.count).toBe(file.content.length)
    expect(registry.calls('takeDigest')).toBe(1)
  })

  it('waits at a gap, and goes over it once it is closed', async () => {
    const { digests, registry, bytes, threads } = stage()
    const file = registry.add(seededBytes('out of order', WORTH_FOLLOWING))
    file.stop = 0
    digests.follow(file.upload, 'md5')
    file.stop = 5 * MIB + 3
    digests.follow(file.upload, 'md5')
    await expect.poll(() => threads.hashed).toBe(5 * MIB + 3)
    // Later chunks that leave the gap open.
    for (let chunk = 0; chunk < 3; chunk++) digests.follow(file.upload, 'md5')
    file.stop = file.content.length
    digests.follow(file.upload, 'md5')
    await expect.poll(() => file.known('md5')).toEqual(digestOf('md5', file.content))
    expect(bytes.count).toBe(file.content.length)
  })

  it('pokes during a run are one', async () => {
    const { digests, registry, threads } = stage()
    const file = registry.add(seededBytes('pokes', WORTH_FOLLOWING))
    file.stop = 2 * MIB
    const gate = threads.hold()
    digests.follow(file.upload, 'md5')
    await gate.reached
    for (let poke = 0; poke < 100; poke++) digests.follow(file.upload, 'md5')
    file.stop = 3 * MIB
    gate.open()
    await expect.poll(() => threads.hashed).toBe(3 * MIB)
    expect([registry.calls('takeDigest'), registry.calls('prefix')]).toEqual([1, 2])
  })

  it('short uploads, finished ones and those of unknown length are none of its business', async () => {
    const { digests, registry } = stage()
    const file = registry.add(seededBytes('small', WORTH_FOLLOWING))
    digests.follow({ ...file.upload, length: WORTH_FOLLOWING - 1 }, 'md5')
    digests.follow({ ...file.upload, length: null }, 'md5')
    digests.follow({ ...file.upload, status: 'complete' }, 'md5')
    expect(registry.calls('takeDigest')).toBe(0)
  })

  it('what another node follows is left to it for a while', async () => {
    const { digests, registry, bytes } = stage({ avoided: 100 })
    const file = registry.add(seededBytes('elsewhere', WORTH_FOLLOWING))
    file.elsewhere.add('md5')
    digests.follow(file.upload, 'md5')
    await expect.poll(() => registry.calls('takeDigest')).toBe(1)
    for (let poke = 0; poke < 10; poke++) digests.follow(file.upload, 'md5')
    await turns()
    expect([registry.calls('takeDigest'), bytes.count]).toEqual([1, 0])

    file.elsewhere.delete('md5')
    await expect
      .poll(() => {
        digests.follow(file.upload, 'md5')
        return file.known('md5')
      })
      .toEqual(digestOf('md5', file.content))
  })

  it('notices by itself what came through other nodes', async () => {
    const { digests, registry, threads } = stage()
    const file = registry.add(seededBytes('others', WORTH_FOLLOWING))
    file.stop = MIB
    digests.follow(file.upload, 'md5')
    await expect.poll(() => threads.hashed).toBe(MIB)
    file.stop = file.content.length
    await expect.poll(() => file.known('md5')).toEqual(digestOf('md5', file.content))
  })

  it('looks at once when another node waits for it', async () => {
    const { digests, registry, threads } = stage({ looks: { first: 60_000, last: 60_000 } })
    const [file, other] = ['waited for', 'not'].map((name) =>
      registry.add(seededBytes(name, WORTH_FOLLOWING)),
    )
    if (file === undefined || other === undefined) throw new Error('two were added')
    for (const each of [file, other]) {
      each.stop = MIB
      digests.follow(each.upload, 'md5')
    }
    await expect.poll(() => threads.hashed).toBe(2 * MIB)
    await turns()
    for (const each of [file, other]) each.stop = each.content.length
    registry.wanted?.(file.upload.id)
    await expect.poll(() => file.known('md5')).toEqual(digestOf('md5', file.content))
    expect(other.known('md5')).toBeNull()
    await digests.close()
    expect(registry.wanted).toBeNull()
  })

  it('ends with an upload that is gone, and gives the turn back', async () => {
    const { digests, registry, threads } = stage()
    const file = registry.add(seededBytes('gone', WORTH_FOLLOWING))
    file.stop = MIB
    digests.follow(file.upload, 'md5')
    await expect.poll(() => threads.hashed).toBe(MIB)
    registry.remove(file)
    digests.follow(file.upload, 'md5')
    await expect.poll(() => registry.calls('leaveDigest')).toBe(1)
    expect(threads.inUse).toBe(0)
  })

  it('gives up on bytes that cannot be read, and gives the turn back', async () => {
    const { digests, registry, bytes, threads } = stage()
    const file = registry.add(seededBytes('unreadable', WORTH_FOLLOWING))
    bytes.failure = new UploadError('storage_failed', 'The disk is stuck.')
    digests.follow(file.upload, 'md5')
    await expect.poll(() => registry.calls('leaveDigest')).toBe(1)
    digests.follow(file.upload, 'md5')
    await turns()
    expect([registry.calls('takeDigest'), threads.inUse]).toEqual([1, 0])
  })
})

describe('a content that changes', () => {
  it('behind what was hashed is begun again when noting finds out', async () => {
    const { digests, registry, threads } = stage()
    const file = registry.add(seededBytes('replaced', WORTH_FOLLOWING))
    file.stop = 8 * MIB
    digests.follow(file.upload, 'md5')
    await expect.poll(() => threads.hashed).toBe(8 * MIB)
    file.replace(3 * MIB, seededBytes('by this', MIB))
    file.stop = file.content.length
    digests.follow(file.upload, 'md5')
    await expect.poll(() => file.known('md5')).toEqual(digestOf('md5', file.content))
    expect(threads.hashed).toBe(2 * file.content.length)
  })

  it('is begun again at once when it is said', async () => {
    const { digests, registry, threads } = stage()
    const file = registry.add(seededBytes('said', WORTH_FOLLOWING))
    file.stop = 8 * MIB
    digests.follow(file.upload, 'md5')
    await expect.poll(() => threads.hashed).toBe(8 * MIB)
    file.replace(3 * MIB, seededBytes('by this', MIB))
    digests.forget(file.upload.id)
    await expect.poll(() => threads.hashed).toBe(16 * MIB)
    file.stop = file.content.length
    digests.follow(file.upload, 'md5')
    await expect.poll(() => file.known('md5')).toEqual(digestOf('md5', file.content))
    expect(threads.hashed).toBe(8 * MIB + file.content.length)
  })

  it('also when it was the end that changed while it was hashed', async () => {
    const { digests, registry, threads } = stage()
    const file = registry.add(seededBytes('meanwhile', WORTH_FOLLOWING))
    const gate = threads.hold()
    digests.follow(file.upload, 'md5')
    await gate.reached
    file.replace(3 * MIB, seededBytes('by this', MIB))
    digests.forget(file.upload.id)
    gate.open()
    await expect.poll(() => file.known('md5')).toEqual(digestOf('md5', file.content))
    expect(threads.hashed).toBeLessThan(2 * file.content.length)
  })

  it('became shorter: what was hashed cannot be right', async () => {
    const { digests, registry, threads } = stage()
    const file = registry.add(seededBytes('shorter', WORTH_FOLLOWING))
    file.stop = 8 * MIB
    digests.follow(file.upload, 'md5')
    await expect.poll(() => threads.hashed).toBe(8 * MIB)
    file.replace(2 * MIB, seededBytes('short', MIB))
    file.stop = 3 * MIB
    digests.follow(file.upload, 'md5')
    await expect.poll(() => threads.hashed).toBe(11 * MIB)
  })

  it('over and over is given up, and whoever waits is told to come again', async () => {
    const { digests, registry } = stage({ again: 1 })
    const file = registry.add(seededBytes('restless', WORTH_FOLLOWING))
    registry.onPrefix = () => digests.forget(file.upload.id)
    expect(await codeOf(digests.digest(file.upload, 'md5'))).toBe('upload_busy')
    expect([registry.calls('takeDigest'), registry.held]).toEqual([6, 0])
  })

  it('and nobody said so, neither', async () => {
    const { digests, registry, threads } = stage({ again: 1 })
    const file = registry.add(seededBytes('restless', WORTH_FOLLOWING))
    registry.onPrefix = () => file.turns.clear()
    digests.follow(file.upload, 'md5')
    await expect.poll(() => registry.calls('noteDigest')).toBe(6)
    await turns()
    expect([registry.calls('takeDigest'), threads.inUse]).toEqual([6, 0])
  })
})

describe('the digest', () => {
  it('of any gapless upload, the empty one included, in any algorithm', async () => {
    const { digests, registry } = stage()
    for (const length of [0, 1, 3 * MIB, WORTH_FOLLOWING + 7]) {
      const file = registry.add(seededBytes(`any ${length}`, length))
      for (const algorithm of ['md5', 'sha3_512', 'crc32'] as const) {
        const { digest } = await digests.digest(file.upload, algorithm)
        expect(digest).toEqual(digestOf(algorithm, file.content))
      }
    }
  })

  it('of what was followed to the end is known, without a read', async () => {
    const { digests, registry, bytes } = stage()
    const file = registry.add(seededBytes('caught up', WORTH_FOLLOWING))
    digests.follow(file.upload, 'md5')
    await expect.poll(() => file.known('md5')).not.toBeNull()
    const read = bytes.count
    expect(await digests.digest(file.upload, 'md5')).toEqual({ digest: file.known('md5'), token: null })
    expect(bytes.count).toBe(read)
  })

  it('of what is followed needs the tail, and comes with the token', async () => {
    const { digests, registry, bytes, threads } = stage()
    const file = registry.add(seededBytes('tail', WORTH_FOLLOWING))
    file.stop = 15 * MIB
    digests.follow(file.upload, 'md5')
    await expect.poll(() => threads.hashed).toBe(15 * MIB)
    file.stop = file.content.length
    const { digest, token } = await digests.digest(file.upload, 'md5')
    expect(digest).toEqual(digestOf('md5', file.content))
    expect(bytes.count).toBe(file.content.length)
    expect(registry.calls('noteDigest')).toBe(0)
    expect(await registry.noteDigest(file.upload.id, token ?? 0, digest)).toBe(true)
  })

  it('in another algorithm than the followed one takes a pass of its own, and disturbs nothing', async () => {
    const { digests, registry, bytes } = stage()
    const file = registry.add(seededBytes('another', WORTH_FOLLOWING))
    file.stop = file.content.length
    digests.follow(file.upload, 'md5')
    const { digest } = await digests.digest(file.upload, 'sha256')
    expect(digest).toEqual(digestOf('sha256', file.content))
    await expect.poll(() => file.known('md5')).toEqual(digestOf('md5', file.content))
    expect(bytes.count).toBe(2 * file.content.length)
  })

  it('is worked out once for all who ask', async () => {
    const { digests, registry, bytes } = stage()
    const file = registry.add(seededBytes('shared', 3 * MIB))
    const all = await Promise.all(Array.from({ length: 10 }, () => digests.digest(file.upload, 'sha1')))
    for (const { digest } of all) expect(digest).toEqual(digestOf('sha1', file.content))
    expect([bytes.count, registry.calls('takeDigest')]).toEqual([file.content.length, 1])
  })

  it('that did not fit is noted, and not worked out again', async () => {
    const { digests, registry, bytes } = stage()
    const file = registry.add(seededBytes('mismatch', 3 * MIB))
    const worked = await digests.digest(file.upload, 'sha1')
    await digests.note(file.upload.id, worked)
    expect(file.known('sha1')).toEqual(worked.digest)
    expect(await digests.digest(file.upload, 'sha1')).toEqual({ digest: worked.digest, token: null })
    await digests.note(file.upload.id, worked)
    expect([bytes.count, registry.calls('noteDigest')]).toEqual([file.content.length, 1])
  })

  it('of which nobody says anything is noted by the next who asks', async () => {
    const { digests, registry, bytes } = stage()
    const file = registry.add(seededBytes('silence', 3 * MIB))
    const { digest } = await digests.digest(file.upload, 'sha1')
    expect(await Promise.all([0, 1].map(() => digests.digest(file.upload, 'sha1')))).toEqual(
      [0, 1].map(() => ({ digest, token: null })),
    )
    expect(bytes.count).toBe(file.content.length)
  })

  it('or after a while', async () => {
    const { digests, registry } = stage({ unnoted: 20 })
    const file = registry.add(seededBytes('while', MIB))
    const { digest } = await digests.digest(file.upload, 'sha1')
    await expect.poll(() => file.known('sha1')).toEqual(digest)
  })

  it('of a content that changed before it was used is worked out again', async () => {
    const { digests, registry } = stage()
    const file = registry.add(seededBytes('stale', 3 * MIB))
    await digests.digest(file.upload, 'sha1')
    file.replace(MIB, seededBytes('new', 1000))
    expect((await digests.digest(file.upload, 'sha1')).digest).toEqual(digestOf('sha1', file.content))
  })

  it('goes on when the caller leaves, and is there for the next', async () => {
    const { digests, registry, bytes, threads } = stage()
    const file = registry.add(seededBytes('leaves', 3 * MIB))
    const gate = threads.hold()
    const leaving = new AbortController()
    const left = digests.digest(file.upload, 'md5', leaving.signal)
    await gate.reached
    leaving.abort(new Error('the client left'))
    await expect(left).rejects.toThrow('the client left')
    const joined = digests.digest(file.upload, 'md5')
    gate.open()
    expect((await joined).digest).toEqual(digestOf('md5', file.content))
    expect(bytes.count).toBe(file.content.length)
    await expect(digests.digest(file.upload, 'md5', leaving.signal)).rejects.toThrow('the client left')
  })

  it('is noted where the caller left for good', async () => {
    const { digests, registry, threads } = stage()
    const file = registry.add(seededBytes('for good', 3 * MIB))
    const gate = threads.hold()
    const leaving = new AbortController()
    const left = digests.digest(file.upload, 'md5', leaving.signal)
    await gate.reached
    leaving.abort()
    await expect(left).rejects.toThrow()
    gate.open()
    await expect.poll(() => file.known('md5')).toEqual(digestOf('md5', file.content))
  })

  it('of an upload with gaps is not known', async () => {
    const { digests, registry } = stage()
    const file = registry.add(seededBytes('gaps', 3 * MIB))
    file.stop = MIB
    expect(await codeOf(digests.digest(file.upload, 'md5'))).toBe('upload_not_finished')
    expect(await codeOf(digests.digest({ ...file.upload, length: null }, 'md5'))).toBe('upload_not_finished')
    expect(registry.held).toBe(0)
  })

  it('of an upload that is gone, or goes away meanwhile, is not found', async () => {
    const { digests, registry, threads } = stage()
    const file = registry.add(seededBytes('not found', 3 * MIB))
    const gate = threads.hold()
    const waiting = digests.digest(file.upload, 'md5')
    await gate.reached
    registry.remove(file)
    gate.open()
    // What was read is there; that nobody can complete it is for the registry to say.
    await waiting
    expect(await codeOf(digests.digest(file.upload, 'md5'))).toBe('upload_not_found')
    expect(await codeOf(digests.digest(file.upload, 'sha1'))).toBe('upload_not_found')
  })

  it('fails as the storage does, and gives the turn back', async () => {
    const { digests, registry, bytes } = stage()
    const file = registry.add(seededBytes('storage', 3 * MIB))
    bytes.failure = new UploadError('storage_failed', 'The disk is stuck.')
    expect(await codeOf(digests.digest(file.upload, 'md5'))).toBe('storage_failed')
    expect(registry.held).toBe(0)
    bytes.failure = null
    expect((await digests.digest(file.upload, 'md5')).digest).toEqual(digestOf('md5', file.content))
  })

  it('fails where the storage has fewer bytes than were recorded', async () => {
    const { digests, registry, bytes } = stage()
    const file = registry.add(seededBytes('fewer', 3 * MIB))
    bytes.put(file.blob, file.content.subarray(0, 2 * MIB + 5))
    expect(await codeOf(digests.digest(file.upload, 'md5'))).toBe('storage_failed')
  })

  it('survives threads that die, but not for ever', async () => {
    const { digests, registry, threads } = stage({ again: 1 })
    const file = registry.add(seededBytes('threads', 3 * MIB))
    threads.dying = 2
    expect((await digests.digest(file.upload, 'md5')).digest).toEqual(digestOf('md5', file.content))
    threads.dying = Number.POSITIVE_INFINITY
    expect(await codeOf(digests.digest(file.upload, 'sha1'))).toBe('upload_busy')
    expect(threads.inUse).toBe(0)
  })

  it('waits for a database that is away for a moment', async () => {
    const { digests, registry } = stage()
    const file = registry.add(seededBytes('moment', 3 * MIB))
    registry.away = 3
    expect((await digests.digest(file.upload, 'md5')).digest).toEqual(digestOf('md5', file.content))
  })
})

describe('another node', () => {
  it('that works a digest out is waited for', async () => {
    const { digests, registry, bytes } = stage()
    const file = registry.add(seededBytes('waited', 3 * MIB))
    file.elsewhere.add('md5')
    const waiting = digests.digest(file.upload, 'md5')
    await expect.poll(() => registry.calls('handedBack')).toBeGreaterThan(0)
    file.note(digestOf('md5', file.content))
    registry.handBack()
    expect(await waiting).toEqual({ digest: digestOf('md5', file.content), token: null })
    expect(bytes.count).toBe(0)
  })

  it('that dies at it is taken over from', async () => {
    const { digests, registry } = stage()
    const file = registry.add(seededBytes('dies', 3 * MIB))
    file.elsewhere.add('md5')
    const waiting = digests.digest(file.upload, 'md5')
    await expect.poll(() => registry.calls('handedBack')).toBeGreaterThan(1)
    file.elsewhere.delete('md5')
    const { digest, token } = await waiting
    expect(digest).toEqual(digestOf('md5', file.content))
    expect(token).not.toBeNull()
  })

  it('is not waited for when nobody here waits any more', async () => {
    const { digests, registry } = stage()
    const file = registry.add(seededBytes('nobody', 3 * MIB))
    file.elsewhere.add('md5')
    const leaving = new AbortController()
    const left = digests.digest(file.upload, 'md5', leaving.signal)
    await expect.poll(() => registry.calls('handedBack')).toBeGreaterThan(0)
    leaving.abort()
    await expect(left).rejects.toThrow()
    registry.handBack()
    await expect.poll(() => registry.calls('takeDigest')).toBeGreaterThan(1)
    const asked = registry.calls('takeDigest')
    await turns()
    expect(registry.calls('takeDigest')).toBe(asked)
  })
})

describe('blobs that go away', () => {
  it('are looked for again, and it goes on at the same byte', async () => {
    const { digests, registry, bytes } = stage()
    const file = registry.add(seededBytes('moved', 5 * MIB))
    let pieces = 0
    bytes.onPiece = () => {
      pieces += 1
      // In the middle of a block.
      if (pieces === 10) file.move()
    }
    expect((await digests.digest(file.upload, 'md5')).digest).toEqual(digestOf('md5', file.content))
    expect(bytes.count).toBeLessThan(6 * MIB)
  })

  it('though the rows stay are an error in the end', async () => {
    const { digests, registry, bytes } = stage()
    const file = registry.add(seededBytes('lost', 5 * MIB))
    bytes.lose(file.blob)
    expect(await codeOf(digests.digest(file.upload, 'md5'))).toBe('blob_gone')
    expect(registry.held).toBe(0)
  })

  it('any seams between blobs are read over', async () => {
    const { digests, registry } = stage()
    const file = registry.add(seededBytes('seams', 3 * MIB + 11))
    file.cut([1, 2, 70_000, MIB, MIB + 1, 3 * MIB])
    expect((await digests.digest(file.upload, 'md5')).digest).toEqual(digestOf('md5', file.content))
  })

  it('rows that leave a hole are an error, not a wait for ever', async () => {
    const { digests, registry } = stage()
    const file = registry.add(seededBytes('hole', 3 * MIB))
    file.extents = file.extents.map((extent) => ({ ...extent, stop: 2 * MIB }))
    expect(await codeOf(digests.digest(file.upload, 'md5'))).toBe('storage_failed')
  })
})

describe('there are bounds:', () => {
  const followed = async (world: Stage, name: string) => {
    const file = world.registry.add(seededBytes(name, WORTH_FOLLOWING))
    file.stop = MIB
    const before = world.threads.hashed
    world.digests.follow(file.upload, 'md5')
    await expect.poll(() => world.threads.hashed).toBe(before + MIB)
    return file
  }

  it('of more uploads than allowed the one that rests for longest is let go', async () => {
    const world = stage({ most: 2, quiet: 0 })
    const [first, second] = [await followed(world, 'first'), await followed(world, 'second')]
    world.digests.follow(first.upload, 'md5')
    await followed(world, 'third')
    await expect.poll(() => world.registry.calls('leaveDigest')).toBe(1)
    expect([first.held, second.held]).toEqual([1, 0])
    expect(world.threads.inUse).toBe(2)
  })

  it('those that had something a moment ago keep their place', async () => {
    const world = stage({ most: 2 })
    await followed(world, 'first')
    await followed(world, 'second')
    const third = world.registry.add(seededBytes('third', WORTH_FOLLOWING))
    world.digests.follow(third.upload, 'md5')
    await turns()
    expect([world.registry.calls('takeDigest'), world.threads.inUse]).toEqual([2, 2])
  })

  it('but not against somebody who waits', async () => {
    const world = stage({ most: 2 })
    const first = await followed(world, 'first')
    await followed(world, 'second')
    const third = world.registry.add(seededBytes('third', MIB))
    expect((await world.digests.digest(third.upload, 'md5')).digest).toEqual(digestOf('md5', third.content))
    expect(first.held).toBe(0)
  })

  it('who waits where all are at work waits for one of them', async () => {
    const { digests, registry, threads } = stage({ most: 1 })
    const gate = threads.hold()
    const files = [1, 2, 3].map((seed) => registry.add(seededBytes(`queue ${seed}`, MIB + seed)))
    const waiting = files.map((file) => digests.digest(file.upload, 'md5'))
    await gate.reached
    await turns()
    expect([registry.calls('takeDigest'), threads.inUse]).toEqual([1, 1])
    gate.open()
    const worked = await Promise.all(waiting)
    expect(worked.map(({ digest }) => digest)).toEqual(files.map((file) => digestOf('md5', file.content)))
    expect(threads.mostInUse).toBe(1)
  })

  it('an upload to which nothing comes is let go', async () => {
    const world = stage({ idle: 100 })
    const file = await followed(world, 'idle')
    await expect.poll(() => file.held).toBe(0)
    await expect.poll(() => world.threads.inUse).toBe(0)
  })

  it('blocks are read one after the other, one ahead at most', async () => {
    const { digests, registry, bytes, threads } = stage()
    const file = registry.add(seededBytes('ahead', 10 * MIB))
    const gate = threads.hold()
    const waiting = digests.digest(file.upload, 'md5')
    await gate.reached
    await turns()
    expect(bytes.count).toBeLessThanOrEqual(2 * MIB)
    gate.open()
    await waiting
  })

  it('two blocks are read at a time, whoever wants how many', async () => {
    const { digests, registry, bytes } = stage()
    const files = Array.from({ length: 12 }, (_, seed) => registry.add(seededBytes(`r ${seed}`, 2 * MIB)))
    const waiting = files.map((file) => digests.digest(file.upload, 'md5'))
    for (const { digest } of await Promise.all(waiting)) expect(digest.algorithm).toBe('md5')
    // Those two, and the one piece that streams read ahead when the last of a block was taken from them.
    expect(bytes.mostReading).toBeLessThanOrEqual(4)
  })
})

describe('closing', () => {
  it('gives all turns back, tells those who wait, and takes up nothing more', async () => {
    const { digests, registry, threads } = stage()
    const resting = registry.add(seededBytes('resting', WORTH_FOLLOWING))
    resting.stop = MIB
    digests.follow(resting.upload, 'md5')
    await expect.poll(() => threads.hashed).toBe(MIB)
    const gate = threads.hold()
    const waiting = codeOf(digests.digest(registry.add(seededBytes('running', 3 * MIB)).upload, 'md5'))
    await gate.reached
    const closed = digests.close()
    gate.open()
    await closed
    expect(await waiting).toBe('draining')
    expect([registry.held, threads.inUse, threads.closed]).toEqual([0, 0, true])
    digests.follow(resting.upload, 'md5')
    expect(await codeOf(digests.digest(resting.upload, 'md5'))).toBe('draining')
    expect(registry.held).toBe(0)
  })

  it('notes what was handed out', async () => {
    const { digests, registry } = stage()
    const file = registry.add(seededBytes('handed out', MIB))
    const { digest } = await digests.digest(file.upload, 'md5')
    await digests.close()
    expect(file.known('md5')).toEqual(digest)
  })
})

interface Stage {
  readonly digests: PrefixDigests
  readonly registry: FakeRegistry
  readonly bytes: FakeBytes
  readonly threads: FakeThreads
}

function stage(limits: Partial<PrefixDigestsLimits> = {}): Stage {
  const bytes = new FakeBytes()
  const registry = new FakeRegistry(bytes)
  const threads = new FakeThreads()
  const digests = new PrefixDigests({ registry, bytes, threads, log: silent, limits })
  opened.push(digests)
  return { digests, registry, bytes, threads }
}

function digestOf(algorithm: DigestAlgorithm, bytes: Buffer): Digest {
  const hasher = createHasher(algorithm)
  hasher.update(bytes)
  return hasher.digest()
}

/** Long enough for whatever would happen at once. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** One upload as registry and byte store have it. All of it is there unless a test says otherwise. */
class FakeFile {
  readonly upload: Upload
  readonly content: Buffer
  readonly elsewhere = new Set<DigestAlgorithm>()
  stop: number
  extents: Extent[]
  readonly turns = new Map<DigestAlgorithm, number>()
  readonly #known = new Map<DigestAlgorithm, Digest>()
  readonly #bytes: FakeBytes

  constructor(content: Buffer, bytes: FakeBytes) {
    this.content = content
    this.#bytes = bytes
    this.stop = content.length
    this.upload = uploadOf(content.length)
    this.extents = []
    this.move()
  }

  get blob(): Blob {
    return this.extents[0]?.blob as Blob
  }

  /** Turns of ours that were neither noted nor given back. */
  get held(): number {
    return this.turns.size
  }

  known(algorithm: DigestAlgorithm): Digest | null {
    return this.#known.get(algorithm) ?? null
  }

  note(digest: Digest): void {
    this.#known.set(digest.algorithm, digest)
    this.turns.delete(digest.algorithm)
    this.elsewhere.delete(digest.algorithm)
  }

  /** As a chunk that replaces another: digests worked out so far are forgotten, and all turns end. */
  replace(at: number, bytes: Buffer): void {
    bytes.copy(this.content, at)
    this.turns.clear()
    this.#known.clear()
    this.move()
  }

  /** As an assembly: the same bytes, in another blob. */
  move(): void {
    this.cut([])
  }

  /** The content in several blobs, each of which has other bytes before. */
  cut(seams: readonly number[]): void {
    for (const { blob } of this.extents) this.#bytes.lose(blob)
    const ends = [...seams, this.content.length]
    this.extents = ends.map((stop, index) => {
      const start = ends[index - 1] ?? 0
      const blob = { id: randomUUID(), epoch: 1 }
      this.#bytes.put(blob, Buffer.concat([Buffer.alloc(index, 'x'), this.content.subarray(start, stop)]))
      return { start, stop, blob, blobOffset: index }
    })
  }
}

function uploadOf(length: number): Upload {
  return {
    id: randomUUID(),
    owner: null,
    kind: 'whole',
    protocol: 'frago',
    length,
    offset: 0,
    metadata: null,
    filename: null,
    status: 'in_progress',
    digest: null,
    createdAt: new Date(0),
    completedAt: null,
    expiresAt: null,
    partNames: null,
  }
}

type Asked = 'prefix' | 'takeDigest' | 'noteDigest' | 'leaveDigest' | 'handedBack'

class FakeRegistry {
  /** So many statements fail, as when the database is away for a moment. */
  away = 0
  onPrefix: () => void = () => undefined
  /** Says that another node waits for a digest of an upload; null: nobody listens. */
  wanted: ((id: string) => void) | null = null
  readonly #bytes: FakeBytes
  readonly #files = new Map<string, FakeFile>()
  readonly #calls = new Map<Asked, number>()
  readonly #waiting = new Set<() => void>()
  #tokens = 0

  constructor(bytes: FakeBytes) {
    this.#bytes = bytes
  }

  add(content: Buffer): FakeFile {
    const file = new FakeFile(content, this.#bytes)
    this.#files.set(file.upload.id, file)
    return file
  }

  remove(file: FakeFile): void {
    this.#files.delete(file.upload.id)
  }

  calls(method: Asked): number {
    return this.#calls.get(method) ?? 0
  }

  /** Turns of ours that were neither noted nor given back. */
  get held(): number {
    return [...this.#files.values()].reduce((sum, { held }) => sum + held, 0)
  }

  onDigestWanted(listener: (id: string) => void): () => void {
    this.wanted = listener
    return () => {
      this.wanted = null
    }
  }

  handBack(): void {
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  async prefix(id: string): Promise<Prefix | null> {
    const file = await this.#file('prefix', id)
    if (file === undefined) return null
    const { stop, extents } = file
    this.onPrefix()
    return { stop, extents }
  }

  async takeDigest(id: string, algorithm: DigestAlgorithm): Promise<DigestTurn | null> {
    const file = await this.#file('takeDigest', id)
    if (file === undefined) return null
    const digest = file.known(algorithm)
    if (digest !== null) return { outcome: 'known', digest }
    if (file.elsewhere.has(algorithm)) return { outcome: 'elsewhere' }
    this.#tokens += 1
    file.turns.set(algorithm, this.#tokens)
    return { outcome: 'ours', token: this.#tokens }
  }

  async noteDigest(id: string, token: number, digest: Digest): Promise<boolean> {
    const file = await this.#file('noteDigest', id)
    if (file === undefined || file.turns.get(digest.algorithm) !== token) return false
    file.note(digest)
    return true
  }

  async leaveDigest(id: string, token: number): Promise<void> {
    const file = await this.#file('leaveDigest', id)
    for (const [algorithm, held] of file?.turns ?? []) if (held === token) file?.turns.delete(algorithm)
  }

  async handedBack(_id: string, milliseconds: number): Promise<void> {
    this.#count('handedBack')
    await new Promise<void>((resolve) => {
      this.#waiting.add(resolve)
      setTimeout(resolve, Math.min(milliseconds, 20))
    })
  }

  async #file(method: Asked, id: string): Promise<FakeFile | undefined> {
    this.#count(method)
    await turn()
    if (this.away > 0) {
      this.away -= 1
      throw new UploadError('registry_unavailable', 'The database does not answer.')
    }
    return this.#files.get(id)
  }

  #count(method: Asked): void {
    this.#calls.set(method, this.calls(method) + 1)
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Gives out memory it keeps, as an in-memory store may. */
class FakeBytes {
  /** Bytes handed out. */
  count = 0
  /** Reads under way at the same moment, at most. */
  mostReading = 0
  failure: Error | null = null
  onPiece: () => void = () => undefined
  readonly #contents = new Map<string, Buffer>()
  #reading = 0

  put(blob: Blob, bytes: Buffer): void {
    this.#contents.set(blob.id, bytes)
  }

  lose(blob: Blob): void {
    this.#contents.delete(blob.id)
  }

  read(blob: Blob, start: number, stop: number): Readable {
    return Readable.from(this.#pieces(blob, start, stop), { objectMode: false, highWaterMark: 1 })
  }

  async *#pieces(blob: Blob, start: number, stop: number): AsyncGenerator<Buffer> {
    for (let at = start; at < stop; at += 100_000) {
      this.#reading += 1
      this.mostReading = Math.max(this.mostReading, this.#reading)
      await turn()
      this.#reading -= 1
      if (this.failure !== null) throw this.failure
      const content = this.#contents.get(blob.id)
      if (content === undefined) throw new UploadError('blob_gone', 'The bytes are no longer there.')
      const piece = content.subarray(at, Math.min(stop, at + 100_000))
      this.count += piece.length
      yield piece
      this.onPiece()
    }
  }
}

/** Hashers of this thread, at which a test can stop everything. */
class FakeThreads {
  /** Bytes hashed, by all. */
  hashed = 0
  /** Hashers that are open now, and were at most. */
  inUse = 0
  mostInUse = 0
  closed = false
  /** So many hashers lose their thread at their second block. */
  dying = 0
  #gate: Gate | null = null
  #reached = new Gate()

  open(algorithm: DigestAlgorithm): RemoteHasher {
    this.inUse += 1
    this.mostInUse = Math.max(this.mostInUse, this.inUse)
    const hasher = createHasher(algorithm)
    let blocks = 0
    let open = true
    return {
      update: async (bytes) => {
        this.#reached.open()
        await this.#gate?.opened
        blocks += 1
        if (blocks === 2 && this.dying > 0) {
          this.dying -= 1
          throw new HashThreadLost(new Error('made by a test'))
        }
        hasher.update(bytes)
        this.hashed += bytes.length
        // As memory that is moved away: whoever uses it after this is found out.
        bytes.fill(0)
      },
      updateFrom: async () => {
        throw new Error('These blobs are no files.')
      },
      digest: async () => hasher.digest(),
      close: () => {
        if (open) this.inUse -= 1
        open = false
      },
    }
  }

  async close(): Promise<void> {
    this.closed = true
  }

  /** Holds the next block, and all others, until it is opened. */
  hold(): { readonly reached: Promise<void>; open(): void } {
    const gate = new Gate()
    this.#gate = gate
    this.#reached = new Gate()
    return { reached: this.#reached.opened, open: () => gate.open() }
  }
}
