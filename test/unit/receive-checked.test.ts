import { describe, expect, it } from 'vitest'
import { UploadError } from '../../src/upload/errors.js'
import { append, codeOf, contentOf, isFree, sending, sha1, started, whole } from '../support/use-cases.js'

describe('checksums', () => {
  it('one that fits keeps the bytes', async () => {
    const { a, upload, told } = await started('hello')
    const expected = { before: sha1('hello') }
    expect(await append(a, upload, whole('hello'), { expected })).toMatchObject({ completed: true })
    expect(told).toEqual(['chunk_received whole 0-5', 'upload_completed whole'])
  })

  for (const [name, expected] of [
    ['known before', { before: sha1('other') }],
    ['known after', { after: () => sha1('other') }],
  ] as const) {
    it(`one that does not fit keeps nothing, and the upload goes on (${name})`, async () => {
      const { a, upload, told } = await started('hello')
      expect(await codeOf(append(a, upload, whole('hel'), { expected }))).toBe('checksum_mismatch')
      await isFree(a, upload, 0)
      expect(told).toEqual(['checksum_failed whole'])
      await append(a, upload, whole('hello'))
      expect(await contentOf(a, upload)).toBe('hello')
    })
  }

  it('one that comes after the bytes is checked against what was stored', async () => {
    const { a, upload } = await started('hello')
    const first = await append(a, upload, whole('he'), { expected: { after: () => sha1('he') } })
    const rest = { expected: { after: () => sha1('llo') } }
    expect(await append(a, first.upload, whole('llo'), rest)).toMatchObject({ completed: true })
    expect(await contentOf(a, upload)).toBe('hello')
  })

  it('one that never comes fails the request with its own error, and keeps nothing', async () => {
    const { a, upload } = await started('hello')
    const after = () => {
      throw new UploadError('request_incomplete', 'The trailer is missing.')
    }
    expect(await codeOf(append(a, upload, whole('hello'), { expected: { after } }))).toBe(
      'request_incomplete',
    )
    await isFree(a, upload, 0)
  })

  it('one over no bytes is checked, too', async () => {
    const { a, upload } = await started('hello')
    expect(await codeOf(append(a, upload, whole(''), { expected: { before: sha1('x') } }))).toBe(
      'checksum_mismatch',
    )
    expect(await codeOf(append(a, upload, whole(''), { expected: { after: () => sha1('') } }))).toBe('none')
  })

  it('an interrupted request keeps nothing of what could not be checked', async () => {
    const { world, a, upload, told } = await started('hello')
    const source = sending('hel')
    const received = append(a, upload, source, { announced: 5, expected: { before: sha1('hello') } })
    await world.bytes.arrived(3)
    source.destroy()
    expect(await received).toMatchObject({ stored: 0, whole: false, completed: false })
    await isFree(a, upload, 0)
    expect(told).toEqual([])
  })

  it('a full disk keeps nothing of what could not be checked', async () => {
    const { world, a, upload } = await started('hello')
    world.bytes.room = 3
    const expected = { before: sha1('hello') }
    expect(await codeOf(append(a, upload, whole('hello'), { expected }))).toBe('storage_full')
    await isFree(a, upload, 0)
  })
})
