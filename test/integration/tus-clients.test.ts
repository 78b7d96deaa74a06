import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { UploadRegistry } from '../../src/upload/ports.js'
import { RawClient } from '../support/raw-client.js'
import { create, head, OpenRequest, openPatch, patch, send } from '../support/raw-tus.js'
import { type StageOptions, TusStage } from '../support/tus-stage.js'

let stage: TusStage
const escaped: unknown[] = []
const note = (error: unknown) => escaped.push(error)

beforeEach(() => {
  escaped.length = 0
  process.on('uncaughtException', note).on('unhandledRejection', note)
})
afterEach(async () => {
  await stage.close()
  process.off('uncaughtException', note).off('unhandledRejection', note)
  expect(escaped).toEqual([])
})

async function open(options: StageOptions = {}): Promise<TusStage> {
  stage = await TusStage.open(options)
  return stage
}

const OFFSET_TYPE = 'application/offset+octet-stream'
const MIB = 1024 * 1024

/** Resolves when no request runs any more. */
async function quiet(): Promise<void> {
  await expect.poll(() => stage.extension.inFlight).toBe(0)
}

/** Resolves when the registry says the upload has so many bytes, without asking its writer to stop. */
async function recorded(url: string, offset: number): Promise<void> {
  const id = url.split('/').at(-1) ?? ''
  await expect.poll(async () => (await stage.registry.find(id, null))?.upload.offset).toBe(offset)
}

describe('a client that leaves', () => {
  test('in the middle of a PATCH loses nothing that came', async () => {
    await open()
    const url = await create(stage.endpoint, 10)
    const sent = openPatch(url, 0, 10)
    await sent.write('abcd')
    await recorded(url, 4)
    sent.destroy()
    await quiet()
    expect((await head(url)).headers['upload-offset']).toBe('4')
    expect((await patch(url, 4, Buffer.from('efghij'))).status).toBe(204)
    expect((await send(url)).body).toBe('abcdefghij')
  })

  test('at any byte of any request leaves a server that answers', async () => {
    await open({ node: { lease: 50 }, policy: { patience: 200 } })
    const url = await create(stage.endpoint, 4)
    const { pathname } = new URL(url)
    const finished = await create(stage.endpoint, 3)
    await patch(finished, 0, Buffer.from('abc'))
    const common = 'Host: a\r\nTus-Resumable: 1.0.0\r\n'
    const requests = [
      `POST /files HTTP/1.1\r\n${common}Upload-Length: 4\r\nContent-Type: ${OFFSET_TYPE}\r\nContent-Length: 4\r\n\r\nabcd`,
      `POST /files HTTP/1.1\r\n${common}Upload-Length: 9\r\nContent-Type: ${OFFSET_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n`,
      `PATCH ${pathname} HTTP/1.1\r\n${common}Upload-Offset: 9\r\nContent-Type: ${OFFSET_TYPE}\r\nContent-Length: 4\r\n\r\nabcd`,
      `GET ${new URL(finished).pathname} HTTP/1.1\r\n${common}\r\n`,
      `HEAD ${pathname} HTTP/1.1\r\n${common}\r\n`,
      `OPTIONS /files HTTP/1.1\r\n${common}\r\n`,
    ]
    for (const request of requests) {
      for (let cut = 1; cut <= request.length; cut += 7) {
        const client = await RawClient.open(stage.port)
        await client.say(request.slice(0, cut))
        if (cut % 2 === 0) client.reset()
        else client.socket.destroy()
      }
    }
    await quiet()
    expect((await head(url)).status).toBe(200)
    expect((await patch(url, 0, Buffer.from('abcd'))).status).toBe(204)
  })

  test('before its answer comes harms nobody', async () => {
    let release: () => void = () => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    await open({ server: { onIncomingRequest: () => held } })
    const clients = await Promise.all(
      ['GET', 'HEAD', 'PATCH', 'DELETE'].map(async (method) => {
        const client = await RawClient.open(stage.port)
        await client.say(
          `${method} /files/00000000-0000-4000-8000-000000000000 HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\n` +
            `Upload-Offset: 0\r\nContent-Type: ${OFFSET_TYPE}\r\nContent-Length: 5\r\n\r\nab`,
        )
        return client
      }),
    )
    await expect.poll(() => stage.extension.inFlight).toBe(4)
    for (const client of clients) client.reset()
    await Promise.all(clients.map(({ closed }) => closed))
    release()
    await quiet()
  })

  test('leaves its side half open and still gets its answer', async () => {
    await open()
    const { pathname } = new URL(await create(stage.endpoint, 4))
    const client = await RawClient.open(stage.port, { allowHalfOpen: true })
    await client.say(
      `PATCH ${pathname} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
        `Content-Type: ${OFFSET_TYPE}\r\nContent-Length: 4\r\n\r\nabcd`,
    )
    expect(await client.status()).toBe(204)
    client.socket.end()
    await client.closed
  })
})

describe('a client that still sends', () => {
  /** Sends far more than is accepted, at once, and gives what it was answered. */
  async function push(path: string, method: string, headers: Readonly<Record<string, string>>) {
    const sent = httpRequest({
      port: stage.port,
      path,
      method,
      headers: { 'Tus-Resumable': '1.0.0', 'Content-Length': 20 * MIB, ...headers },
    })
    sent.on('error', () => undefined)
    const answered = once(sent, 'response')
    for (let index = 0; index < 20; index++) sent.write(Buffer.alloc(MIB))
    sent.end()
    const [response] = await answered
    response.resume()
    return response
  }

  test.each([
    ['415', { 'Upload-Offset': '0', 'Content-Type': 'text/plain' }, 415],
    ['413', { 'Upload-Offset': '0', 'Content-Type': OFFSET_TYPE }, 413],
    ['409', { 'Upload-Offset': '1', 'Content-Type': OFFSET_TYPE }, 409],
    ['400', { 'Upload-Offset': 'x', 'Content-Type': OFFSET_TYPE }, 400],
    ['412', { 'Tus-Resumable': '2.0.0' }, 412],
  ])('reads the %s it is answered', async (_, headers, status) => {
    await open()
    const { pathname } = new URL(await create(stage.endpoint, MIB))
    const response = await push(pathname, 'PATCH', headers)
    expect(response.statusCode).toBe(status)
    expect(response.headers.connection).toBe('close')
    await quiet()
  })

  test('reads what it is answered to a POST', async () => {
    await open({ server: { maxSize: MIB } })
    const response = await push('/files', 'POST', { 'Upload-Length': String(20 * MIB) })
    expect(response.statusCode).toBe(415)
    const large = await push('/files', 'POST', {
      'Upload-Length': String(20 * MIB),
      'Content-Type': OFFSET_TYPE,
    })
    expect(large.statusCode).toBe(413)
  })

  test('and never stops is let go after a while', async () => {
    await open()
    const client = await RawClient.open(stage.port)
    await client.say(
      'PATCH /files/x HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nContent-Length: 99999999999\r\n\r\n',
    )
    const sending = setInterval(() => client.socket.write('x'), 20)
    expect(await client.status()).toBe(404)
    await client.closed
    clearInterval(sending)
    await quiet()
  })

  test('and is not refused keeps its connection', async () => {
    await open()
    const { pathname } = new URL(await create(stage.endpoint, 8))
    const client = await RawClient.open(stage.port)
    for (const offset of [0, 4]) {
      client.received = ''
      await client.say(
        `PATCH ${pathname} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: ${offset}\r\n` +
          `Content-Type: ${OFFSET_TYPE}\r\nContent-Length: 4\r\n\r\nabcd`,
      )
      await client.hear('\r\n\r\n')
      expect(client.received).toMatch(/^HTTP\/1\.1 204 /)
      expect(client.received).not.toMatch(/connection: close/i)
    }
    client.socket.destroy()
  })
})

describe('Expect: 100-continue', () => {
  async function ask(path: string, offset: number): Promise<RawClient> {
    const client = await RawClient.open(stage.port)
    await client.say(
      `PATCH ${path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: ${offset}\r\nConnection: close\r\n` +
        `Content-Type: ${OFFSET_TYPE}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n`,
    )
    return client
  }

  test('is answered when the body is wanted', async () => {
    await open()
    const url = await create(stage.endpoint, 4)
    const client = await ask(new URL(url).pathname, 0)
    await client.hear('HTTP/1.1 100 Continue\r\n\r\n')
    await client.say('abcd')
    await client.hear('HTTP/1.1 204 No Content\r\n')
    expect((await send(url)).body).toBe('abcd')
  })

  test('is answered with the refusal where it is not', async () => {
    await open()
    const { pathname } = new URL(await create(stage.endpoint, 4))
    for (const [path, offset, status] of [
      [pathname, 3, 409],
      ['/files/x', 0, 404],
    ] as const) {
      const client = await ask(path, offset)
      expect(await client.status()).toBe(status)
      expect(client.received).not.toContain('100 Continue')
      client.socket.end()
      await client.closed
    }
  })
})

describe('a client that falls silent', () => {
  test('is answered 408, and what came is kept', async () => {
    await open({ extend: { idleTimeout: 100 } })
    const url = await create(stage.endpoint, 10)
    const sent = openPatch(url, 0, 10)
    await sent.write('abcd')
    const answer = await sent.answer
    expect(answer.status).toBe(408)
    expect((await head(url)).headers['upload-offset']).toBe('4')
    await quiet()
  })

  test('in a creation is told where it may go on', async () => {
    await open({ extend: { idleTimeout: 100 } })
    for (const size of [10, 2 * MIB]) {
      const sent = new OpenRequest(stage.endpoint, {
        method: 'POST',
        headers: { 'Upload-Length': String(size), 'Content-Type': OFFSET_TYPE },
        length: size,
      })
      await sent.write('abcd')
      const answer = await sent.answer
      expect([answer.status, answer.headers['upload-offset']]).toEqual([201, '4'])
      expect((await head(answer.headers.location as string)).headers['upload-offset']).toBe('4')
    }
  })

  test('before an untyped chunked body begins is let go', async () => {
    await open({ extend: { idleTimeout: 100 } })
    const sent = new OpenRequest(stage.endpoint, {
      method: 'POST',
      headers: { 'Upload-Length': '5' },
      length: null,
    })
    expect((await sent.answer).status).toBe(408)
    await quiet()
  })

  test('now and then only, is not taken for one', async () => {
    await open({ extend: { idleTimeout: 300 } })
    const url = await create(stage.endpoint, 8)
    const sent = openPatch(url, 0, 8)
    for (let index = 0; index < 8; index++) {
      await sent.write('x')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect((await sent.answer).status).toBe(204)
  })
})

describe('a server that drains', () => {
  test('answers running uploads with what it has, and refuses new requests', async () => {
    const [first, second] = [randomUUID(), randomUUID()]
    const ids = [first, second]
    await open({ server: { namingFunction: () => ids.shift() ?? '' } })
    const url = await create(stage.endpoint, 10)
    const sent = openPatch(url, 0, 10)
    await sent.write('abcd')
    await recorded(url, 4)
    const creation = new OpenRequest(stage.endpoint, {
      method: 'POST',
      headers: { 'Upload-Length': String(2 * MIB), 'Content-Type': OFFSET_TYPE },
      length: 2 * MIB,
    })
    await creation.write('abcdef')
    await recorded(`${stage.endpoint}/${second}`, 6)
    const drained = stage.extension.drain()
    const patched = await sent.answer
    expect([patched.status, patched.headers['upload-offset']]).toEqual([204, '4'])
    expect(patched.headers.connection).toBe('close')
    const created = await creation.answer
    expect([created.status, created.headers['upload-offset']]).toEqual([201, '6'])
    expect(created.headers.location).toBeDefined()
    await drained
    expect(stage.extension.inFlight).toBe(0)
    for (const [answer, status] of [
      [await patch(url, 4, Buffer.from('efghij')), 503],
      [await send(stage.endpoint, { method: 'POST', headers: { 'Upload-Length': '1' } }), 503],
      [await head(url), 423],
    ] as const) {
      expect(answer.status).toBe(status)
      expect(answer.headers['retry-after']).toBe('1')
      expect(answer.headers.connection).toBe('close')
    }
  })

  test('keeps nothing of bytes it could not check, and says so', async () => {
    await open()
    const url = await create(stage.endpoint, 10)
    const headers = {
      'Upload-Offset': '0',
      'Content-Type': OFFSET_TYPE,
      'Upload-Checksum': 'md5 1B2M2Y8AsgTpgAmY7PhCfg==',
    }
    const sent = new OpenRequest(url, { method: 'PATCH', headers, length: 10 })
    await sent.write('abcd')
    await expect.poll(() => stage.extension.inFlight).toBe(1)
    await Promise.all([stage.extension.drain(), sent.answer])
    expect((await sent.answer).status).toBe(503)
  })
})

describe('writers of the same upload', () => {
  test('hand over: the one before ends with 423, and nothing is lost', async () => {
    await open()
    const url = await create(stage.endpoint, 10)
    const first = openPatch(url, 0, 10)
    await first.write('abcd')
    await recorded(url, 4)
    const looked = await head(url)
    expect([looked.status, looked.headers['upload-offset']]).toEqual([200, '4'])
    const displaced = await first.answer
    expect(displaced.status).toBe(423)
    expect(displaced.headers['retry-after']).toBe('1')
    expect((await patch(url, 4, Buffer.from('efghij'))).status).toBe(204)
    expect((await send(url)).body).toBe('abcdefghij')
  })

  test('that lost their claim get 409', async () => {
    const losing = (registry: UploadRegistry): UploadRegistry =>
      new Proxy(registry, {
        get: (target, name) => {
          if (name === 'record') {
            return async (...args: Parameters<UploadRegistry['record']>) => {
              await target.release(args[0])
              return target.record(...args)
            }
          }
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    await open({ registry: losing })
    const url = await create(stage.endpoint, 4)
    expect((await patch(url, 0, Buffer.from('abcd'))).status).toBe(409)
  })

  test('wait no longer than the patience of the engine, then get 423', async () => {
    await open({ policy: { patience: 100 } })
    const url = await create(stage.endpoint, 4)
    const id = url.split('/').at(-1) ?? ''
    const request = { id, owner: null, protocol: 'tus', start: 0, stop: null, declaredLength: null } as const
    await stage.registry.claim(request)
    const answer = await patch(url, 0, Buffer.from('abcd'))
    expect([answer.status, answer.headers['retry-after']]).toEqual([423, '1'])
    expect((await head(url)).status).toBe(423)
  })
})

describe('a body somebody else has read', () => {
  test('is an error of the server, not an endless upload', async () => {
    await open()
    const url = await create(stage.endpoint, 4)
    stage.http.removeAllListeners('request').on('request', (request, response) => {
      request.once('data', () => void stage.tus.handle(request, response))
    })
    expect((await patch(url, 0, Buffer.from('abcd'))).status).toBe(500)
  })
})
