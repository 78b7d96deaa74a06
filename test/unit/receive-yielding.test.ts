import { describe, expect, it } from 'vitest'
import { create } from '../../src/upload/create.js'
import { UploadError } from '../../src/upload/errors.js'
import {
  append,
  codeOf,
  contentOf,
  draft,
  failing,
  isFree,
  sending,
  sha1,
  started,
  World,
  whole,
} from '../support/use-cases.js'

describe('giving way', () => {
  it('a writer that is asked to yield answers that it is busy, but keeps its bytes', async () => {
    const { world, a, upload } = await started('hello')
    const b = world.process()
    const received = append(a, upload, sending('hel'))
    await world.bytes.arrived(3)
    await b.registry.askToYield(upload.id)
    expect(await codeOf(received)).toBe('upload_busy')
    await isFree(b, upload, 3)
  })

  it('a writer that had stored all it had is answered as done', async () => {
    const { world, a, upload } = await started('hello')
    const source = sending('hello')
    const received = append(a, upload, source)
    await world.bytes.arrived(5)
    await a.registry.askToYield(upload.id)
    expect(await received).toMatchObject({ completed: true, upload: { status: 'complete' } })
  })

  it('the next writer goes on, on another node, where the first was stopped', async () => {
    const { world, a, upload } = await started('hello')
    const b = world.process()
    const stopped = codeOf(append(a, upload, sending('hel')))
    await world.bytes.arrived(3)
    const next = await append(b, { ...upload, offset: 3 }, whole('lo'))
    expect(next).toMatchObject({ completed: true })
    expect(await stopped).toBe('upload_busy')
    expect(await contentOf(b, upload)).toBe('hello')
  })

  it('a checked writer that is asked to yield keeps nothing', async () => {
    const { world, a, upload } = await started('hello')
    const received = append(a, upload, sending('hel'), { expected: { before: sha1('hello') } })
    await world.bytes.arrived(3)
    await a.registry.askToYield(upload.id)
    expect(await codeOf(received)).toBe('upload_busy')
    await isFree(a, upload, 0)
  })

  it('a server that drains keeps the bytes and answers with its reason', async () => {
    const { world, a, upload } = await started('hello')
    const stopping = new AbortController()
    const received = append(a, upload, sending('hel'), { signal: stopping.signal })
    await world.bytes.arrived(3)
    stopping.abort(new UploadError('draining', 'The server stops.'))
    expect(await codeOf(received)).toBe('draining')
    await isFree(a, upload, 3)
  })

  it('a request that was to end before it began keeps nothing and harms nothing', async () => {
    const { a, upload } = await started('hello')
    const signal = AbortSignal.abort(new UploadError('draining', 'The server stops.'))
    expect(await codeOf(append(a, upload, sending('hel'), { signal }))).toBe('draining')
    await isFree(a, upload, 0)
  })

  it('a writer whose upload is removed is told, and its bytes go', async () => {
    const { world, a, upload } = await started('hello')
    const received = append(a, upload, sending('hel'))
    await world.bytes.arrived(3)
    const ended = await world.process().registry.terminate(upload.id, null)
    expect(ended?.unreferenced).toHaveLength(1)
    expect(await codeOf(received)).toBe('upload_not_found')
  })

  it('a node that lost its upload to another changes nothing of it', async () => {
    const { world, a, upload } = await started('hello')
    const b = world.process()
    const source = sending('HEL')
    const frozen = codeOf(append(a, upload, source))
    await world.bytes.arrived(3)
    a.registry.lapse()
    await append(b, upload, whole('hello'))
    source.end('LO')
    expect(await frozen).toBe('claim_lost')
    expect(await contentOf(b, upload)).toBe('hello')
    expect(a.told).toEqual([])
  })

  it('a node that froze but lost nothing keeps its bytes', async () => {
    const { world, a, upload } = await started('hello')
    const received = append(a, upload, sending('hel'))
    await world.bytes.arrived(3)
    a.registry.lapse()
    a.registry.thaw()
    expect(await codeOf(received)).toBe('upload_busy')
    await isFree(a, upload, 3)
  })
})

describe('while the database is away', () => {
  it('a record waits for it, and the bytes count once', async () => {
    const world = new World()
    const a = world.process({}, (registry) => failing(registry, 'record', 2))
    const upload = await create(a.engine, draft())
    a.told.splice(0)
    expect(await append(a, upload, whole('hello'))).toMatchObject({ completed: true })
    expect(a.told).toEqual(['chunk_received whole 0-5', 'upload_completed whole'])
  })

  it('a hand-back waits for it, or the upload would be held as long as this node lives', async () => {
    const world = new World()
    const a = world.process({}, (registry) => failing(registry, 'release', 2))
    const upload = await create(a.engine, draft())
    expect(await codeOf(append(a, upload, whole('hello!')))).toBe('size_exceeded')
    await isFree(a, upload, 0)
  })

  it('a checksum that does not fit is what the client hears', async () => {
    const world = new World()
    const a = world.process({}, (registry) => failing(registry, 'find', 1))
    const upload = await create(a.engine, draft())
    const expected = { before: sha1('other') }
    expect(await codeOf(append(a, upload, whole('hello'), { expected }))).toBe('checksum_mismatch')
  })

  it('a claim does not wait', async () => {
    const { world, a, upload } = await started('hello')
    world.db.away = true
    expect(await codeOf(append(a, upload, whole('hello')))).toBe('registry_unavailable')
  })
})
