import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { UploadError } from '../../src/upload/errors.js'
import type { ByteStore } from '../../src/upload/ports.js'
import { RawClient } from '../support/raw-client.js'
import { concatenate, create, createPart, patch, send } from '../support/raw-tus.js'
import { TusStage } from '../support/tus-stage.js'

let stage: TusStage
beforeEach(async () => {
  stage = await TusStage.open()
})
afterEach(() => stage.close())

const encode = (text: string) => Buffer.from(text).toString('base64')

async function upload(content: string, metadata: Readonly<Record<string, string>> = {}): Promise<string> {
  const pairs = Object.entries(metadata).map(([key, value]) => `${key} ${encode(value)}`)
  const url = await create(stage.endpoint, content.length, { 'Upload-Metadata': pairs.join(',') })
  if (content.length > 0) await patch(url, 0, Buffer.from(content))
  return url
}

function get(url: string, headers: Readonly<Record<string, string>> = {}) {
  return send(url, { headers })
}

describe('a download', () => {
  test('is whole, described and safe to open', async () => {
    const { status, headers, body } = await get(
      await upload('0123456789', { filename: 'a.txt', filetype: 'text/plain' }),
    )
    expect([status, body]).toEqual([200, '0123456789'])
    expect(headers).toMatchObject({
      'content-length': '10',
      'content-type': 'text/plain',
      'content-disposition': 'inline; filename="a.txt"',
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
    })
    expect(headers.etag).toMatch(/^"[0-9a-f-]{36}"$/)
    expect(Date.parse(headers['last-modified'] as string)).toBeLessThanOrEqual(Date.now())
    expect(headers['content-security-policy']).toContain('sandbox')
  })

  test.each([
    ['bytes=0-3', '0123', 'bytes 0-3/10'],
    ['bytes=5-', '56789', 'bytes 5-9/10'],
    ['bytes=-3', '789', 'bytes 7-9/10'],
    ['bytes=-100', '0123456789', 'bytes 0-9/10'],
    ['bytes=8-100', '89', 'bytes 8-9/10'],
    ['bytes=9-9', '9', 'bytes 9-9/10'],
    ['BYTES=0-0', '0', 'bytes 0-0/10'],
    ['bytes=0-99999999999999999999999', '0123456789', 'bytes 0-9/10'],
  ])('of the range %s is that part', async (range, part, described) => {
    const { status, headers, body } = await get(await upload('0123456789'), { Range: range })
    expect([status, body]).toEqual([206, part])
    expect(headers['content-range']).toBe(described)
    expect(headers['content-length']).toBe(String(part.length))
  })

  test.each(['bytes=10-', 'bytes=100-200', 'bytes=-0', 'bytes=99999999999999999999999-'])(
    'of the range %s is 416',
    async (range) => {
      const { status, headers } = await get(await upload('0123456789'), { Range: range })
      expect(status).toBe(416)
      expect(headers['content-range']).toBe('bytes */10')
    },
  )

  test.each(['bytes=5-2', 'bytes=-', 'bytes=a-b', 'items=0-1', 'bytes=0-1,3-4', 'bytes', '', 'bytes=--1'])(
    'of the range "%s" is whole',
    async (range) => {
      const { status, body } = await get(await upload('0123456789'), { Range: range })
      expect([status, body]).toEqual([200, '0123456789'])
    },
  )

  test('of an empty file is empty, with or without a range', async () => {
    const url = await upload('')
    for (const headers of [{}, { Range: 'bytes=0-' }, { Range: 'bytes=-1' }]) {
      const answer = await get(url, headers)
      expect([answer.status, answer.body, answer.headers['content-length']]).toEqual([200, '', '0'])
    }
  })

  test('goes across the parts of a final', async () => {
    const parts = await Promise.all(
      ['0123', '', '456', '789'].map(async (text) => {
        const url = await createPart(stage.endpoint, text.length)
        if (text.length > 0) await patch(url, 0, Buffer.from(text))
        return url
      }),
    )
    const url = await concatenate(stage.endpoint, parts)
    expect((await get(url, { Range: 'bytes=2-7' })).body).toBe('234567')
    expect((await get(url, { Range: 'bytes=4-4' })).body).toBe('4')
  })

  test('is asked about with conditions', async () => {
    const url = await upload('0123456789')
    const { headers } = await get(url)
    const etag = headers.etag as string
    const modified = headers['last-modified'] as string
    const status = async (conditions: Readonly<Record<string, string>>) => (await get(url, conditions)).status
    expect(await status({ 'If-None-Match': etag })).toBe(304)
    expect(await status({ 'If-None-Match': `"x", W/${etag}` })).toBe(304)
    expect(await status({ 'If-None-Match': '*' })).toBe(304)
    expect(await status({ 'If-None-Match': '"x"', 'If-Modified-Since': modified })).toBe(200)
    expect(await status({ 'If-Modified-Since': modified })).toBe(304)
    expect(await status({ 'If-Modified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT' })).toBe(200)
    expect(await status({ 'If-Modified-Since': 'nonsense' })).toBe(200)
    expect(await status({ 'If-Match': etag })).toBe(200)
    expect(await status({ 'If-Match': '"x"' })).toBe(412)
    expect(await status({ 'If-Match': `W/${etag}` })).toBe(412)
    expect(await status({ 'If-Unmodified-Since': 'Thu, 01 Jan 1970 00:00:00 GMT' })).toBe(412)
    const range = { Range: 'bytes=0-3' }
    expect(await status({ ...range, 'If-Range': etag })).toBe(206)
    expect(await status({ ...range, 'If-Range': '"x"' })).toBe(200)
    expect(await status({ ...range, 'If-Range': `W/${etag}` })).toBe(200)
    expect(await status({ ...range, 'If-Range': modified })).toBe(206)
    expect(await status({ ...range, 'If-Range': 'Thu, 01 Jan 1970 00:00:00 GMT' })).toBe(200)
    const unchanged = await get(url, { 'If-None-Match': etag })
    expect(unchanged.body).toBe('')
    expect(unchanged.headers.etag).toBe(etag)
  })

  test.each([
    ['image/png', 'inline'],
    ['video/mp4; codecs="avc1"', 'inline'],
    ['text/html', 'attachment'],
    ['image/svg+xml', 'attachment'],
    ['application/xml', 'attachment'],
    ['text/javascript', 'attachment'],
    ['application/pdf', 'attachment'],
    ['TEXT/HTML', 'attachment'],
  ])('of the type %s is %s', async (type, disposition) => {
    const { headers } = await get(await upload('x', { filetype: type }))
    expect(headers['content-type']).toBe(type)
    expect(headers['content-disposition']).toBe(disposition)
  })

  test.each([
    'nonsense',
    'text/plain\r\nX-Evil: 1',
    'text/plain, text/html',
    'tëxt/plain',
    'a/b; c="\u0001"',
  ])('of the invalid type %j is bytes to save', async (type) => {
    const { headers } = await get(await upload('x', { type }))
    expect(headers['content-type']).toBe('application/octet-stream')
    expect(headers['content-disposition']).toBe('attachment')
    expect(headers['x-evil']).toBeUndefined()
  })

  test.each([
    ['a b.txt', 'attachment; filename="a b.txt"'],
    ['ünï.txt', 'attachment; filename="_n_.txt"; filename*=UTF-8\'\'%C3%BCn%C3%AF.txt'],
    ['日本.txt', 'attachment; filename="__.txt"; filename*=UTF-8\'\'%E6%97%A5%E6%9C%AC.txt'],
    ['a"b\\c.txt', 'attachment; filename="c.txt"'],
    [
      'a"; filename*=x',
      'attachment; filename="a_; filename*=x"; filename*=UTF-8\'\'a%22%3B%20filename%2A%3Dx',
    ],
    ['x\r\nSet-Cookie: a=b', 'attachment; filename="xSet-Cookie: a=b"'],
    ['../../etc/passwd', 'attachment; filename="passwd"'],
    ['..', 'attachment'],
    ["it's (1)*.txt", 'attachment; filename="it\'s (1)*.txt"'],
    ['100%.txt', 'attachment; filename="100_.txt"; filename*=UTF-8\'\'100%25.txt'],
  ])('of the name %j is named %s', async (name, disposition) => {
    const { headers } = await get(await upload('x', { filename: name }))
    expect(headers['content-disposition']).toBe(disposition)
    expect(headers['set-cookie']).toBeUndefined()
  })

  test('of an unfinished upload is 404 with a sentence', async () => {
    const answer = await get(await create(stage.endpoint, 3))
    expect(answer.status).toBe(404)
    expect(answer.body).toMatch(/not finished/)
  })

  test('keeps its pace to the client, and ends when the client leaves', async () => {
    const size = 64 * 1024 * 1024
    let read = 0
    const ended = new Promise<void>((resolve) => {
      stage.engine.bytes.read = () => {
        const bytes = new Readable({
          read() {
            read += 65_536
            this.push(Buffer.alloc(65_536))
          },
        })
        return bytes.once('close', resolve)
      }
    })
    stage.engine.registry.find = async (id) => ({
      held: false,
      upload: {
        id,
        owner: null,
        kind: 'whole',
        protocol: 'tus',
        length: size,
        offset: size,
        metadata: null,
        filename: null,
        status: 'complete',
        digest: null,
        createdAt: new Date(),
        completedAt: new Date(),
        expiresAt: null,
        partNames: null,
      },
    })
    const blob = { id: '00000000-0000-4000-8000-000000000000', epoch: 1 }
    stage.engine.registry.extents = async () => [{ start: 0, stop: size, blob, blobOffset: 0 }]
    const client = await RawClient.open(stage.port)
    await client.say('GET /files/00000000-0000-4000-8000-000000000000 HTTP/1.1\r\nHost: a\r\n\r\n')
    await client.hear('\r\n\r\n')
    client.socket.pause()
    let before = -1
    while (before !== read) {
      before = read
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect(read).toBeLessThan(size / 2)
    client.reset()
    await ended
  })
})

describe('a download whose bytes cannot be read', () => {
  function failing(after: number): (bytes: ByteStore) => ByteStore {
    return (bytes) =>
      new Proxy(bytes, {
        get: (target, name) => {
          if (name !== 'read') return bound(target, name)
          return () =>
            Readable.from(
              (async function* () {
                if (after > 0) yield Buffer.alloc(after)
                throw new UploadError('storage_failed', 'The bytes could not be read.')
              })(),
            )
        },
      })
  }

  test('from the first byte on is 500', async () => {
    await stage.close()
    stage = await TusStage.open({ bytes: failing(0) })
    expect((await get(await upload('0123456789'))).status).toBe(500)
  })

  test('after some bytes is cut, never short', async () => {
    await stage.close()
    stage = await TusStage.open({ bytes: failing(4) })
    const url = new URL(await upload('0123456789'))
    const client = await RawClient.open(stage.port)
    await client.say(`GET ${url.pathname} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await client.closed
    expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(client.received.split('\r\n\r\n')[1]?.length).toBeLessThan(10)
  })
})

/** A method that may be one of those not every store has. */
function bound(target: object, name: string | symbol): unknown {
  const value: unknown = Reflect.get(target, name)
  return typeof value === 'function' ? value.bind(target) : value
}
