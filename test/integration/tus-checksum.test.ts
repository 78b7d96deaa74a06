import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RawClient } from '../support/raw-client.js'
import { create, head, OpenRequest, send } from '../support/raw-tus.js'
import { TusStage } from '../support/tus-stage.js'

let stage: TusStage
beforeEach(async () => {
  stage = await TusStage.open()
})
afterEach(() => stage.close())

const BODY = { 'Content-Type': 'application/offset+octet-stream' }
const EMPTY_MD5 = 'md5 1B2M2Y8AsgTpgAmY7PhCfg=='

function checksum(algorithm: string, text: string): string {
  if (algorithm !== 'crc32') return `${algorithm} ${createHash(algorithm).update(text).digest('base64')}`
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(text))
  return `crc32 ${bytes.toString('base64')}`
}

function patch(url: string, sum: string, body: string) {
  const headers = { ...BODY, 'Upload-Offset': '0', 'Upload-Checksum': sum }
  return send(url, { method: 'PATCH', headers, body })
}

describe('a checksum', () => {
  test.each(['sha1', 'md5', 'sha256', 'sha512', 'crc32'])('with %s is checked', async (algorithm) => {
    const url = await create(stage.endpoint, 5)
    const wrong = await patch(url, checksum(algorithm, 'hellO'), 'hello')
    expect(wrong.status).toBe(460)
    expect((await head(url)).headers['upload-offset']).toBe('0')
    const right = await patch(url, checksum(algorithm, 'hello'), 'hello')
    expect(right.status).toBe(204)
    expect(right.headers['upload-offset']).toBe('5')
  })

  test('that does not fit is named so in the status line', async () => {
    const url = new URL(await create(stage.endpoint, 5))
    const client = await RawClient.open(stage.port)
    await client.say(
      `PATCH ${url.pathname} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\nUpload-Offset: 0\r\n` +
        `Content-Type: ${BODY['Content-Type']}\r\nUpload-Checksum: ${EMPTY_MD5}\r\nContent-Length: 5\r\n\r\nhello`,
    )
    await client.closed
    expect(client.received).toMatch(/^HTTP\/1\.1 460 Checksum Mismatch\r\n/)
  })

  test.each([
    'md4 1B2M2Y8AsgTpgAmY7PhCfg==',
    'SHA1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=',
    '__proto__ YQ==',
    'sha1',
    'sha1 ',
    'sha1 !!!',
    'sha1 YQ==',
    'sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk',
    'sha1  2jmj7l5rSw0yVb/vlWAYkK/YBwk=',
    'sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk= x',
    'sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=, sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk=',
    '',
  ])('%s is 400', async (sum) => {
    const url = await create(stage.endpoint, 5)
    const answer = await patch(url, sum, 'hello')
    expect(answer.status).toBe(400)
    expect(answer.body).toMatch(/Upload-Checksum/)
    expect((await head(url)).headers['upload-offset']).toBe('0')
    const created = await send(stage.endpoint, {
      method: 'POST',
      headers: { 'Upload-Length': '5', 'Upload-Checksum': sum },
    })
    expect(created.status).toBe(400)
  })

  test.each([5, 2_000_000])('of the first %d bytes is checked before anything is created', async (size) => {
    const body = 'x'.repeat(size)
    const headers = { ...BODY, 'Upload-Length': String(size) }
    const wrong = await send(stage.endpoint, {
      method: 'POST',
      headers: { ...headers, 'Upload-Checksum': checksum('sha1', 'y') },
      body,
    })
    expect(wrong.status).toBe(460)
    expect(wrong.headers.location).toBeUndefined()
    const right = await send(stage.endpoint, {
      method: 'POST',
      headers: { ...headers, 'Upload-Checksum': checksum('sha1', body) },
      body,
    })
    expect(right.status).toBe(201)
    expect(right.headers['upload-offset']).toBe(String(size))
  })

  test('of no bytes is that of nothing', async () => {
    const url = await create(stage.endpoint, 5)
    expect((await patch(url, EMPTY_MD5, '')).status).toBe(204)
    expect((await patch(url, checksum('md5', 'x'), '')).status).toBe(460)
    const post = (sum: string) =>
      send(stage.endpoint, { method: 'POST', headers: { 'Upload-Length': '5', 'Upload-Checksum': sum } })
    expect((await post(EMPTY_MD5)).status).toBe(201)
    expect((await post(checksum('md5', 'x'))).status).toBe(460)
  })

  test('of a body that was cut off keeps nothing of it', async () => {
    const url = await create(stage.endpoint, 5)
    const open = new OpenRequest(url, {
      method: 'PATCH',
      headers: { ...BODY, 'Upload-Offset': '0', 'Upload-Checksum': checksum('md5', 'hello') },
      length: 5,
    })
    await open.write('hel')
    open.destroy()
    await expect(open.answer).rejects.toThrow()
    expect((await head(url)).headers['upload-offset']).toBe('0')
    expect((await patch(url, checksum('md5', 'hello'), 'hello')).status).toBe(204)
  })
})

describe('a trailer', () => {
  async function trailing(
    method: string,
    path: string,
    lines: readonly string[],
    trailers: readonly string[],
  ) {
    const client = await RawClient.open(stage.port)
    await client.say(
      `${method} ${path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\n` +
        `Content-Type: ${BODY['Content-Type']}\r\n${lines.map((line) => `${line}\r\n`).join('')}` +
        `Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n${trailers.map((line) => `${line}\r\n`).join('')}\r\n`,
    )
    await client.closed
    return client.received
  }
  const PATCH = ['Upload-Offset: 0', 'Trailer: X-Other, upload-checksum']

  test('with the right checksum is accepted, in PATCH and POST', async () => {
    const { pathname } = new URL(await create(stage.endpoint, 5))
    const sum = `Upload-Checksum: ${checksum('sha1', 'hello')}`
    expect(await trailing('PATCH', pathname, PATCH, [sum])).toMatch(/^HTTP\/1\.1 204 /)
    const lines = ['Upload-Length: 5', 'Trailer: Upload-Checksum']
    expect(await trailing('POST', '/files', lines, [sum])).toMatch(/^HTTP\/1\.1 201 /)
  })

  test.each([
    ['the wrong checksum', [`Upload-Checksum: ${EMPTY_MD5}`], 460],
    ['no checksum', [], 400],
    ['another field', ['X-Other: 1'], 400],
    ['a garbled checksum', ['Upload-Checksum: sha1 x'], 400],
    ['an unknown algorithm', ['Upload-Checksum: sha0 YQ=='], 400],
    ['two checksums', Array(2).fill(`Upload-Checksum: ${checksum('sha1', 'hello')}`), 400],
  ])('with %s keeps nothing', async (_, trailers, status) => {
    const url = await create(stage.endpoint, 5)
    const answer = await trailing('PATCH', new URL(url).pathname, PATCH, trailers)
    expect(answer).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
    expect((await head(url)).headers['upload-offset']).toBe('0')
    const lines = ['Upload-Length: 5', 'Trailer: Upload-Checksum']
    expect(await trailing('POST', '/files', lines, trailers)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
  })

  test('beside a header is 400', async () => {
    const { pathname } = new URL(await create(stage.endpoint, 5))
    const sum = `Upload-Checksum: ${checksum('sha1', 'hello')}`
    expect(await trailing('PATCH', pathname, [...PATCH, sum], [sum])).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('announced for a body that is not chunked is 400', async () => {
    const url = await create(stage.endpoint, 5)
    const headers = { ...BODY, 'Upload-Offset': '0', Trailer: 'Upload-Checksum' }
    const client = await RawClient.open(stage.port)
    await client.say(
      `PATCH ${new URL(url).pathname} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\n` +
        `${Object.entries(headers)
          .map(([name, value]) => `${name}: ${value}\r\n`)
          .join('')}Content-Length: 5\r\n\r\nhello`,
    )
    await client.closed
    expect(client.received).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('that was not announced counts for nothing', async () => {
    const { pathname } = new URL(await create(stage.endpoint, 5))
    const lines = ['Upload-Offset: 0']
    expect(await trailing('PATCH', pathname, lines, [`Upload-Checksum: ${EMPTY_MD5}`])).toMatch(
      /^HTTP\/1\.1 204 /,
    )
  })
})
