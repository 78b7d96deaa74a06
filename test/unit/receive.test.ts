import { describe, expect, it } from 'vitest'
import { create } from '../../src/upload/create.js'
import { UploadError } from '../../src/upload/errors.js'
import {
  append,
  codeOf,
  contentOf,
  draft,
  finalOf,
  isFree,
  sending,
  started,
  stored,
  whole,
} from '../support/use-cases.js'

describe('receiving', () => {
  it('keeps what arrived, and completes with the last byte', async () => {
    const { a, upload, told } = await started('hello')
    const first = await append(a, upload, whole('hel'))
    expect(first).toMatchObject({ stored: 3, completed: false, whole: true, upload: { offset: 3 } })
    const second = await append(a, first.upload, whole('lo'))
    expect(second).toMatchObject({ stored: 2, completed: true, whole: true, upload: { status: 'complete' } })
    expect(await contentOf(a, upload)).toBe('hello')
    expect(told).toEqual(['chunk_received whole 0-3', 'chunk_received whole 3-5', 'upload_completed whole'])
  })

  it('tells of a request without bytes nothing', async () => {
    const { a, upload, told } = await started('hello')
    expect(await append(a, upload, whole(''))).toMatchObject({ stored: 0, completed: false, whole: true })
    expect(told).toEqual([])
  })

  it('keeps what a client sent before it left', async () => {
    const { world, a, upload, told } = await started('hello')
    const source = sending('hel')
    const received = append(a, upload, source, { announced: 5 })
    await world.bytes.arrived(3)
    source.destroy()
    expect(await received).toMatchObject({ stored: 3, whole: false, completed: false })
    expect(await a.registry.find(upload.id, null)).toMatchObject({ held: false, upload: { offset: 3 } })
    expect(told).toEqual(['chunk_received whole 0-3'])
  })

  it('a request that announced more than it brought is not whole', async () => {
    const { a, upload } = await started('hello')
    expect(await append(a, upload, whole('hel'), { announced: 5 })).toMatchObject({ stored: 3, whole: false })
  })

  it('completes the finals that wait, and tells of each once', async () => {
    const { world, a } = await started('')
    const part = await create(a.engine, draft({ kind: 'partial', length: 1 }))
    const b = world.process()
    await b.registry.concatenate(finalOf([part, part]))
    a.told.splice(0)
    await append(a, part, whole('x'))
    expect(a.told).toEqual([
      'chunk_received partial 0-1',
      'upload_completed partial',
      'upload_completed final',
    ])
  })
})

describe('limits', () => {
  it('a request that announces more than fits is refused before a byte is read', async () => {
    const { a, upload } = await started('hello')
    const source = whole('hello!')
    expect(await codeOf(append(a, upload, source, { announced: 6 }))).toBe('size_exceeded')
    expect(source.readableDidRead).toBe(false)
    await isFree(a, upload, 0)
  })

  it('one that brings more without saying so keeps nothing, and the upload goes on', async () => {
    const { a, upload, told } = await started('hello')
    expect(await codeOf(append(a, upload, whole('hello!')))).toBe('size_exceeded')
    await isFree(a, upload, 0)
    expect(told).toEqual([])
    await append(a, upload, whole('hello'))
    expect(await contentOf(a, upload)).toBe('hello')
  })

  it('an upload of unknown length has a limit, too', async () => {
    const { a } = await started('')
    const upload = await create(a.engine, draft({ length: null }))
    expect(await codeOf(append(a, upload, whole('12345'), { maxSize: 4 }))).toBe('size_exceeded')
    expect(await append(a, upload, whole('1234'), { maxSize: 4 })).toMatchObject({ stored: 4 })
  })

  it('a refusal before the first byte leaves an upload that can be written', async () => {
    const { a, upload } = await started('hello')
    expect(await codeOf(append(a, upload, whole('hello!'), { announced: 6 }))).toBe('size_exceeded')
    await append(a, upload, whole('hello'))
    expect(await contentOf(a, upload)).toBe('hello')
  })

  it('a full disk keeps what it took, says so, and goes on when there is room', async () => {
    const { world, a, upload, told } = await started('hello')
    world.bytes.room = 3
    expect(await codeOf(append(a, upload, whole('hello')))).toBe('storage_full')
    await isFree(a, upload, 3)
    expect(told).toEqual(['chunk_received whole 0-3'])
    world.bytes.room = 10
    await append(a, { ...upload, offset: 3 }, whole('lo'))
    expect(await contentOf(a, upload)).toBe('hello')
  })
})

describe('a finished upload', () => {
  it('takes an empty rest as success, once more, and tells nothing', async () => {
    const { a, told } = await started('')
    const upload = await stored(a, 'hello')
    expect(await append(a, upload, whole(''))).toEqual({
      upload,
      stored: 0,
      completed: false,
      completedFinals: [],
      cut: false,
      whole: true,
    })
    expect(await append(a, upload, whole(''), { announced: 0 })).toMatchObject({ stored: 0 })
    expect(told).toEqual([])
  })

  it('takes no byte more', async () => {
    const { a } = await started('')
    const upload = await stored(a, 'hello')
    expect(await codeOf(append(a, upload, whole('!')))).toBe('size_exceeded')
    expect(await codeOf(append(a, upload, whole('!'), { announced: 1 }))).toBe('size_exceeded')
    expect(await contentOf(a, upload)).toBe('hello')
  })

  it('leaves the request alive that brings more, so that it can be answered', async () => {
    const { a } = await started('')
    const upload = await stored(a, 'hello')
    const source = sending('!')
    expect(await codeOf(append(a, upload, source))).toBe('size_exceeded')
    expect(source.destroyed).toBe(false)
  })

  it('does not wait for bytes that would be refused anyway', async () => {
    const { a } = await started('')
    const upload = await stored(a, 'hello')
    expect(await codeOf(append(a, upload, sending(''), { announced: 1 }))).toBe('size_exceeded')
  })

  it('lets go of a request that is to end', async () => {
    const { a } = await started('')
    const upload = await stored(a, 'hello')
    const stopping = new AbortController()
    const received = append(a, upload, sending(''), { signal: stopping.signal })
    stopping.abort(new UploadError('draining', 'The server stops.'))
    expect(await codeOf(received)).not.toBe('none')
  })
})
