import { describe, expect, it } from 'vitest'
import { create } from '../../src/upload/create.js'
import { UploadError } from '../../src/upload/errors.js'
import { takeClaim } from '../../src/upload/hold.js'
import { inspect } from '../../src/upload/inspect.js'
import { patiently } from '../../src/upload/patience.js'
import type { ClaimRequest } from '../../src/upload/ports.js'
import type { Upload } from '../../src/upload/upload.js'
import {
  append,
  codeOf,
  draft,
  failing,
  sending,
  started,
  stored,
  World,
  whole,
} from '../support/use-cases.js'

describe('inspecting', () => {
  it('asks a living writer to hand back, and answers the offset it recorded', async () => {
    const { world, a, upload } = await started('hello')
    const b = world.process()
    const received = codeOf(append(a, upload, sending('hel')))
    await world.bytes.arrived(3)
    const seen = await inspect(b.engine, upload.id, null)
    expect(seen).toMatchObject({ offset: 3, status: 'in_progress' })
    expect(await received).toBe('upload_busy')
    expect(await append(b, seen, whole('lo'))).toMatchObject({ completed: true })
  })

  it('does not wait where nobody writes', async () => {
    const { a, upload } = await started('hello')
    expect(await inspect(a.engine, upload.id, null)).toEqual(upload)
  })

  it('does not stop the chunks of a frago upload', async () => {
    const world = new World()
    const a = world.process()
    const upload = await create(a.engine, draft({ protocol: 'frago' }))
    const claim = await a.registry.claim({ ...claimOf(upload), stop: 3 })
    expect(await inspect(a.engine, upload.id, null)).toMatchObject({ id: upload.id })
    expect(claim?.yielded.aborted).toBe(false)
  })

  it('is busy when the holder does not let go in time', async () => {
    const { world, a, upload } = await started('hello')
    await a.registry.claim(claimOf(upload))
    const b = world.process({ patience: 20 })
    expect(await codeOf(inspect(b.engine, upload.id, null))).toBe('upload_busy')
  })

  it('a holder whose lease lapses is not waited for any longer', async () => {
    const { world, a, upload } = await started('hello')
    await a.registry.claim(claimOf(upload))
    const b = world.process({ patience: 5_000 })
    const seen = inspect(b.engine, upload.id, null)
    a.registry.lapse()
    expect(await seen).toMatchObject({ offset: 0 })
  })

  it('an unknown, foreign or expired upload is said to be that', async () => {
    const { world, a, upload } = await started('hello')
    expect(await codeOf(inspect(a.engine, draft().id, null))).toBe('upload_not_found')
    expect(await codeOf(inspect(a.engine, upload.id, 'bob'))).toBe('upload_not_found')
    world.db.makeDue(upload.id)
    expect(await codeOf(inspect(a.engine, upload.id, null))).toBe('upload_expired')
  })

  it('waits for a database that is away', async () => {
    const world = new World()
    const upload = await stored(world.process(), 'hello')
    const b = world.process({}, (registry) => failing(registry, 'find', 2))
    expect(await inspect(b.engine, upload.id, null)).toEqual(upload)
  })
})

describe('taking a claim', () => {
  it('gets what the holder hands back', async () => {
    const { world, a, upload } = await started('hello')
    const b = world.process()
    const first = await takeClaim(a.engine, claimOf(upload))
    first.yielded.addEventListener('abort', () => void a.registry.release(first))
    expect(await takeClaim(b.engine, claimOf(upload))).toMatchObject({ blob: first.blob })
  })

  it('of many that wait each gets its turn', async () => {
    const { world, a, upload } = await started('hello')
    const b = world.process({ patience: 5_000 })
    const turns = [a, b, b, b, b].map(async ({ engine }) => {
      const claim = await takeClaim(engine, claimOf(upload))
      await engine.registry.release(claim)
    })
    await Promise.all(turns)
  })

  it('is busy when the holder does not let go in time', async () => {
    const { world, a, upload } = await started('hello')
    await a.registry.claim(claimOf(upload))
    expect(await codeOf(takeClaim(world.process({ patience: 20 }).engine, claimOf(upload)))).toBe(
      'upload_busy',
    )
  })

  it('does not wait when the upload is gone meanwhile', async () => {
    const { world, a, upload } = await started('hello')
    await a.registry.claim(claimOf(upload))
    const waiting = codeOf(takeClaim(world.process({ patience: 5_000 }).engine, claimOf(upload)))
    await a.registry.terminate(upload.id, null)
    expect(await waiting).toBe('upload_not_found')
  })
})

describe('patience', () => {
  it('tries again while the registry is unavailable, and no other error', async () => {
    let attempts = 0
    const away = new UploadError('registry_unavailable', 'The database does not answer.')
    const answer = await patiently(async () => {
      attempts += 1
      if (attempts < 3) throw away
      return 'here'
    })
    expect([answer, attempts]).toEqual(['here', 3])
    await expect(patiently(() => Promise.reject(new Error('other')))).rejects.toThrow('other')
  })

  it('ends', async () => {
    const away = new UploadError('registry_unavailable', 'The database does not answer.')
    await expect(patiently(() => Promise.reject(away), 50)).rejects.toBe(away)
  })
})

function claimOf(upload: Upload): ClaimRequest {
  const { id, owner, protocol, offset: start } = upload
  return { id, owner, protocol, start, stop: null, declaredLength: null }
}
