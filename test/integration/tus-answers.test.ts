import { afterEach, describe, expect, test } from 'vitest'
import { RawClient } from '../support/raw-client.js'
import { create, head, patch, send } from '../support/raw-tus.js'
import { type StageOptions, TusStage } from '../support/tus-stage.js'

let stage: TusStage
afterEach(() => stage.close())

async function open(server: StageOptions['server'] = {}): Promise<TusStage> {
  stage = await TusStage.open({ server })
  return stage
}

const list = (value: unknown) => String(value).split(/, ?/)

describe('OPTIONS', () => {
  test('says what the server can do', async () => {
    await open({ maxSize: 12_345 })
    const { status, headers } = await send(stage.endpoint, { method: 'OPTIONS' })
    expect(status).toBe(204)
    expect(headers['tus-version']).toBe('1.0.0')
    expect(headers['tus-max-size']).toBe('12345')
    expect(list(headers['tus-extension'])).toEqual([
      'creation',
      'creation-with-upload',
      'creation-defer-length',
      'expiration',
      'checksum',
      'checksum-trailer',
      'termination',
      'concatenation',
      'concatenation-unfinished',
    ])
    const algorithms = list(headers['tus-checksum-algorithm'])
    expect(algorithms[0]).toBe('sha1')
    expect(algorithms).toEqual(expect.arrayContaining(['md5', 'sha256', 'sha512', 'crc32']))
  })

  test('says the smaller of two limits, and none where there is none', async () => {
    await open()
    expect((await send(stage.endpoint, { method: 'OPTIONS' })).headers['tus-max-size']).toBeUndefined()
    await stage.close()
    stage = await TusStage.open({ server: { maxSize: async () => 50 }, policy: { maxSize: 40 } })
    expect((await send(stage.endpoint, { method: 'OPTIONS' })).headers['tus-max-size']).toBe('40')
  })

  test('lets browsers send and read every header tus has', async () => {
    await open({ allowedHeaders: ['X-Mine'], exposedHeaders: ['X-One', 'X-Two'] })
    const { headers } = await send(stage.endpoint, { method: 'OPTIONS' })
    expect(list(headers['access-control-allow-headers'])).toEqual(
      expect.arrayContaining([
        'Authorization',
        'Content-Type',
        'Tus-Resumable',
        'Upload-Checksum',
        'Upload-Concat',
        'Upload-Defer-Length',
        'Upload-Length',
        'Upload-Metadata',
        'Upload-Offset',
        'X-HTTP-Method-Override',
        'X-Request-ID',
        'X-Mine',
      ]),
    )
    expect(list(headers['access-control-expose-headers'])).toEqual(
      expect.arrayContaining([
        'Location',
        'Tus-Checksum-Algorithm',
        'Upload-Expires',
        'Upload-Concat',
        'Upload-Offset',
        'Upload-Length',
        'X-Request-ID',
        'Retry-After',
        'X-One',
        'X-Two',
      ]),
    )
    expect(list(headers['access-control-allow-methods'])).toEqual(
      expect.arrayContaining(['POST', 'HEAD', 'PATCH', 'DELETE', 'OPTIONS', 'GET']),
    )
  })
})

describe('CORS', () => {
  test('is on every answer, downloads and errors included', async () => {
    await open()
    const upload = await create(stage.endpoint, 0)
    const answers = await Promise.all([
      send(upload),
      head(upload),
      send(`${stage.endpoint}/nothing`),
      head(`${stage.endpoint}/nothing`),
      send(stage.endpoint, { method: 'POST' }),
      send(stage.endpoint, { method: 'PUT' }),
      send(stage.endpoint, { method: 'POST', headers: { 'Tus-Resumable': '0' } }),
    ])
    for (const { headers } of answers) {
      expect(headers['access-control-allow-origin']).toBe('*')
      expect(headers['access-control-expose-headers']).toContain('Upload-Offset')
      expect(headers['access-control-allow-credentials']).toBeUndefined()
      expect(headers['tus-resumable']).toBe('1.0.0')
    }
  })

  test('names the origin where only some are allowed', async () => {
    await open({ allowedOrigins: ['https://a.example', 'https://b.example'], allowedCredentials: true })
    const from = async (origin: string) =>
      (await send(stage.endpoint, { method: 'OPTIONS', headers: { Origin: origin } })).headers
    expect(await from('https://b.example')).toMatchObject({
      'access-control-allow-origin': 'https://b.example',
      'access-control-allow-credentials': 'true',
      vary: 'Origin',
    })
    expect((await from('https://evil.example'))['access-control-allow-origin']).toBe('https://a.example')
  })

  test('asks a function, and a function that fails allows nobody', async () => {
    await open({ allowedOrigins: (origin) => origin.endsWith('.example') })
    const from = async (origin?: string) =>
      (await send(stage.endpoint, { method: 'OPTIONS', headers: { ...(origin && { Origin: origin }) } }))
        .headers
    expect((await from('https://a.example'))['access-control-allow-origin']).toBe('https://a.example')
    expect((await from('https://evil'))['access-control-allow-origin']).toBeUndefined()
    expect((await from())['access-control-allow-origin']).toBeUndefined()
    stage.tus.options.allowedOrigins = () => {
      throw new Error('broken')
    }
    const answer = await send(stage.endpoint, { method: 'OPTIONS', headers: { Origin: 'https://a.example' } })
    expect(answer.status).toBe(204)
    expect(answer.headers['access-control-allow-origin']).toBeUndefined()
  })
})

describe('Location', () => {
  const ID = '[0-9a-f-]{36}'

  async function location(lines: readonly string[], version = '1.1'): Promise<string | undefined> {
    const client = await RawClient.open(stage.port)
    await client.say(
      `POST /files HTTP/${version}\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n` +
        `${lines.map((line) => `${line}\r\n`).join('')}\r\n`,
    )
    await client.closed
    return /\r\nLocation: (.*)\r\n/.exec(client.received)?.[1]
  }

  test.each([
    ['files.example', 'http://files.example'],
    ['files.example:8080', 'http://files.example:8080'],
    ['127.0.0.1:1', 'http://127.0.0.1:1'],
    ['[::1]:1080', 'http://[::1]:1080'],
    ['my_host-1.internal', 'http://my_host-1.internal'],
  ])('has the host %s', async (host, origin) => {
    await open()
    expect(await location([`Host: ${host}`])).toMatch(
      new RegExp(`^${origin.replace(/[[\]]/g, '\\$&')}/files/${ID}$`),
    )
  })

  test.each([
    'a/b',
    'a b',
    'evil"><script>',
    'user@host',
    'a?b',
    'a#b',
    'a\\b',
    'host:port',
    'host:123456',
    '[::1',
    '',
    'é',
    'a,b',
    "a'b",
    'a%zz',
  ])('never has the invalid host "%s"', async (host) => {
    await open()
    expect(await location([`Host: ${host}`])).toMatch(new RegExp(`^/files/${ID}$`))
  })

  test('is a path where HTTP/1.0 names no host', async () => {
    await open()
    expect(await location([], '1.0')).toMatch(new RegExp(`^/files/${ID}$`))
  })

  test('is a path where the server is set so', async () => {
    await open({ relativeLocation: true })
    expect(await location(['Host: a'])).toMatch(new RegExp(`^/files/${ID}$`))
  })

  const PROXY = ['Host: inner', 'X-Forwarded-Proto: https,http', 'X-Forwarded-Host: outer.example, inner']

  test('believes no proxy unless told to', async () => {
    await open()
    expect(await location(PROXY)).toMatch(/^http:\/\/inner\//)
    expect(await location([...PROXY, 'Forwarded: proto=https;host=x'])).toMatch(/^http:\/\/inner\//)
  })

  test.each([
    [PROXY, 'https://outer.example/files'],
    [['Host: inner', 'X-Forwarded-Proto: HTTPS'], 'https://inner/files'],
    [['Host: inner', 'X-Forwarded-Proto: gopher'], 'http://inner/files'],
    [['Host: inner', 'X-Forwarded-Host: e"vil'], 'http://inner/files'],
    [['Host: inner', 'X-Forwarded-Prefix: /upload/'], 'http://inner/upload/files'],
    [['Host: inner', 'X-Forwarded-Prefix: //evil'], 'http://inner/files'],
    [['Host: inner', 'X-Forwarded-Prefix: /a/../b'], 'http://inner/files'],
    [
      ['Host: inner', 'Forwarded: for=1;proto=https;host="o.example:8443", for=2'],
      'https://o.example:8443/files',
    ],
    [['Host: inner', 'Forwarded: host="[2001:db8::1]:80"'], 'http://[2001:db8::1]:80/files'],
    [['Host: inner', 'Forwarded: host=a b;proto=ftp'], 'http://inner/files'],
    [[...PROXY, 'Forwarded: proto=http;host=first.example'], 'http://first.example/files'],
  ])('believes %s', async (lines, origin) => {
    await open({ respectForwardedHeaders: true })
    expect((await location(lines))?.replace(/\/[^/]*$/, '')).toBe(origin)
  })

  test('is what generateUrl says, unless that cannot be a header', async () => {
    await open({ generateUrl: (_, { proto, host, path, id }) => `${proto}://cdn.${host}${path}/v1/${id}` })
    expect(await location(['Host: a.example'])).toMatch(
      new RegExp(`^http://cdn\\.a\\.example/files/v1/${ID}$`),
    )
    stage.tus.options.generateUrl = () => 'x\r\nSet-Cookie: a=b'
    expect(await location(['Host: a.example'])).toBeUndefined()
  })
})

describe('DELETE', () => {
  test('removes an upload, finished or not, once', async () => {
    await open()
    const finished = await create(stage.endpoint, 3)
    await patch(finished, 0, Buffer.from('abc'))
    for (const upload of [finished, await create(stage.endpoint, 3)]) {
      const first = await send(upload, { method: 'DELETE' })
      expect([first.status, first.body]).toEqual([204, ''])
      expect((await send(upload, { method: 'DELETE' })).status).toBe(404)
      expect((await head(upload)).status).toBe(404)
    }
  })

  test('spares finished uploads where the server is set so', async () => {
    await open({ disableTerminationForFinishedUploads: true })
    const upload = await create(stage.endpoint, 3)
    await patch(upload, 0, Buffer.from('abc'))
    expect((await send(upload, { method: 'DELETE' })).status).toBe(400)
    expect((await send(await create(stage.endpoint, 3), { method: 'DELETE' })).status).toBe(204)
    expect((await send(`${stage.endpoint}/x`, { method: 'DELETE' })).status).toBe(404)
  })
})

describe('while the database is away', () => {
  test('HEAD is 423, everything else 503, and both say when to come back', async () => {
    await open()
    const upload = await create(stage.endpoint, 3)
    stage.db.away = true
    const looking = head(upload)
    for (const answer of [
      await patch(upload, 0, Buffer.from('abc')),
      await send(stage.endpoint, { method: 'POST', headers: { 'Upload-Length': '3' } }),
      await send(upload, { method: 'DELETE' }),
      await send(upload),
    ]) {
      expect(answer.status).toBe(503)
      expect(answer.headers['retry-after']).toBe('1')
    }
    const looked = await looking
    expect(looked.status).toBe(423)
    expect(looked.headers['retry-after']).toBe('1')
    expect(looked.headers['cache-control']).toBe('no-store')
    stage.db.away = false
    expect((await patch(upload, 0, Buffer.from('abc'))).status).toBe(204)
  })
})
