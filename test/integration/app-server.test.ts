import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type App, createApp } from '../../src/app.js'
import { CONNECTION_LIMITS, type ConnectionLimits, UploadServer } from '../../src/http/server.js'
import type { Engine } from '../../src/upload/engine.js'
import { UploadError } from '../../src/upload/errors.js'
import type { Logger } from '../../src/upload/log.js'
import { RawClient } from '../support/raw-client.js'

type Handle = (request: IncomingMessage, response: ServerResponse) => Promise<void>

interface Line {
  readonly level: string
  readonly message: string
  readonly [fact: string]: unknown
}

interface Options {
  readonly handle?: Handle
  readonly limits?: Partial<ConnectionLimits>
  readonly idleTimeout?: number
  readonly check?: () => Promise<void>
}

const NOT_THERE: Handle = async (_request, response) => {
  response.writeHead(404).end()
}

/** The app over a protocol a test makes up: what is tested here is everything around protocols. */
async function serve(options: Options = {}) {
  const lines: Line[] = []
  const engine = {
    log: recorder(lines),
    registry: { check: options.check ?? nothing },
    bytes: { check: nothing },
  }
  const { handle = NOT_THERE } = options
  const app: App = createApp(
    { engine: engine as unknown as Engine, tus: { handle, checkContinue: handle, drain: nothing } },
    { tusPath: '/files', idleTimeout: options.idleTimeout ?? 10_000 },
  )
  const server = new UploadServer(app, engine.log, { ...CONNECTION_LIMITS, ...options.limits })
  const { port } = await server.open('127.0.0.1', 0)
  onTestFinished(async () => {
    const drained = server.drain()
    server.closeAllConnections()
    await drained
  })
  return { app, server, port, lines, origin: `http://127.0.0.1:${port}` }
}

async function nothing(): Promise<void> {
  await Promise.resolve()
}

function recorder(lines: Line[]): Logger {
  const at = (level: string) => (facts: object, message: string) => {
    lines.push({ ...facts, level, message })
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** Resolves with the first line of the log that fits. */
async function logged(lines: readonly Line[], fits: (line: Line) => boolean): Promise<Line> {
  return expect
    .poll(() => lines.find(fits))
    .toBeDefined()
    .then(() => lines.find(fits) as Line)
}

describe('connections', () => {
  it('that bring garbage get a sentence and are closed', async () => {
    const { port } = await serve()
    const client = await RawClient.open(port)
    await client.say('\x16\x03\x01 hello\r\n\r\n')
    await client.closed
    expect(client.received).toMatch(
      /^HTTP\/1\.1 400 .*This is not an HTTP request the server understands\.\n$/s,
    )
  })

  it('may bring 500 absolute part URLs, but not headers without end', async () => {
    const { port } = await serve({ handle: async (_request, response) => void response.writeHead(201).end() })
    const urls = Array.from(
      { length: 500 },
      () => `http://uploads.example.com:1080/files/${crypto.randomUUID()}`,
    )
    const final = await RawClient.open(port)
    await final.say(`POST /files HTTP/1.1\r\nHost: x\r\nUpload-Concat: final;${urls.join(' ')}\r\n\r\n`)
    expect(await final.status()).toBe(201)
    const endless = await RawClient.open(port)
    await endless.say(`POST /files HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(200_000)}`)
    await endless.closed
    expect(endless.received).toMatch(/^HTTP\/1\.1 431 .*The headers of the request are too long\.\n$/s)
  })

  it.each([
    ['nothing', ''],
    ['half a request', 'GET /healthz HTTP/1.1\r\nHost: x\r\nA: b'],
  ])('that say %s are ended when the time for headers is over', async (_name, text) => {
    const { port } = await serve({ limits: { headersTimeout: 150, checkEvery: 50 } })
    const client = await RawClient.open(port)
    if (text !== '') await client.say(text)
    await client.closed
    expect(client.received).toMatch(
      /^HTTP\/1\.1 408 .*The headers of the request did not arrive in time\.\n$/s,
    )
  })

  it('may take longer than that for a body', async () => {
    const { port } = await serve({
      limits: { headersTimeout: 150, checkEvery: 50 },
      handle: async (request, response) => {
        request.resume()
        await once(request, 'end')
        response.writeHead(204).end()
      },
    })
    const client = await RawClient.open(port)
    await client.say('PATCH /files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n')
    for (let sent = 0; sent < 8; sent++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      await client.say('x')
    }
    expect(await client.status()).toBe(204)
  })

  it('that end their own side still get their answer', async () => {
    const { port } = await serve()
    const client = await RawClient.open(port, { allowHalfOpen: true })
    client.socket.end('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await client.status()).toBe(200)
    await client.closed
  })

  it('are not answered twice when garbage follows a request whose answer is on its way', async () => {
    const { port } = await serve({
      handle: async (_request, response) => {
        response.writeHead(200, { 'Content-Length': '100' })
        response.write('begun')
      },
    })
    const client = await RawClient.open(port)
    await client.say('GET /files/a HTTP/1.1\r\nHost: x\r\n\r\n')
    await client.hear('begun')
    await client.say('\x00garbage\r\n\r\n')
    await client.closed
    expect(client.received.match(/HTTP\/1\.1/g)).toHaveLength(1)
  })
})

describe('a request', () => {
  it('keeps its sane id, and gets one where it has none or a strange one', async () => {
    const { origin } = await serve()
    const idOf = async (headers: Record<string, string>) =>
      (await fetch(`${origin}/healthz`, { headers })).headers.get('x-request-id')
    expect(await idOf({ 'X-Request-ID': 'trace:1-2.3' })).toBe('trace:1-2.3')
    expect(await idOf({})).toMatch(/^[0-9a-f-]{36}$/)
    expect(await idOf({ 'X-Request-ID': 'a b"' })).toMatch(/^[0-9a-f-]{36}$/)
    expect(await idOf({ 'X-Request-ID': 'a'.repeat(129) })).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('is logged once, without query, headers and body', async () => {
    const { origin, lines } = await serve({
      handle: async (request, response) => {
        request.resume()
        await once(request, 'end')
        response.writeHead(201, { Location: '/files/0b0b0b0b-0b0b-4b0b-8b0b-0b0b0b0b0b0b' }).end()
      },
    })
    await fetch(`${origin}/files?token=hunter2`, {
      method: 'POST',
      headers: { Authorization: 'Bearer hunter3', 'X-Request-ID': 'r1' },
      body: 'hunter4'.repeat(1000),
    })
    const line = await logged(lines, ({ message }) => message === 'request')
    expect(line).toMatchObject({
      level: 'info',
      requestId: 'r1',
      method: 'POST',
      path: '/files',
      status: 201,
      ms: expect.any(Number),
      upload: '0b0b0b0b-0b0b-4b0b-8b0b-0b0b0b0b0b0b',
    })
    expect(line.received).toBeGreaterThan(7000)
    expect(line.sent).toBeGreaterThan(50)
    expect(JSON.stringify(lines)).not.toMatch(/hunter/)
  })

  it('whose client leaves is logged as aborted, with no status', async () => {
    const { port, lines } = await serve({ handle: async (request) => void (await once(request, 'close')) })
    const client = await RawClient.open(port)
    await client.say('PATCH /files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc')
    await expect.poll(() => client.socket.bytesWritten).toBeGreaterThan(0)
    client.reset()
    expect(await logged(lines, ({ message }) => message === 'request')).toMatchObject({
      status: null,
      aborted: true,
    })
  })

  it('may name its target in absolute form', async () => {
    const { port } = await serve()
    const client = await RawClient.open(port)
    await client.say('GET http://elsewhere/healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await client.status()).toBe(200)
  })

  it.each(['http://[', 'http://[::1/healthz', 'healthz', 'ftp://x/healthz', 'x:y'])(
    'to %j gets a sentence',
    async (target) => {
      const { port } = await serve()
      const client = await RawClient.open(port)
      await client.say(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      expect(await client.status()).toBe(400)
    },
  )

  it.each(['/', '//', '/files2', '/%', '/%00', '/healthz/x', '/FILES', '*'])(
    'to %j is not found',
    async (target) => {
      const { port } = await serve()
      const client = await RawClient.open(port)
      await client.say(`OPTIONS ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
      expect(await client.status()).toBe(404)
    },
  )

  it('that meets a bug gets a 500 that says nothing of our insides', async () => {
    const { origin, lines } = await serve({
      handle: () => Promise.reject(new TypeError('secret path /srv/x')),
    })
    const answer = await fetch(`${origin}/files/a`, { headers: { 'X-Request-ID': 'r2' } })
    expect(answer.status).toBe(500)
    expect(await answer.text()).toBe(
      'Something went wrong here, not with your request; the log has it as r2.\n',
    )
    expect(lines).toContainEqual(expect.objectContaining({ level: 'error', requestId: 'r2' }))
  })

  it('that meets a bug in mid-answer is cut, not ended as if it were whole', async () => {
    const { port } = await serve({
      handle: async (_request, response) => {
        response.writeHead(200)
        response.write('half')
        throw new Error('bug')
      },
    })
    const client = await RawClient.open(port)
    await client.say('GET /files/a HTTP/1.1\r\nHost: x\r\n\r\n')
    await client.closed
    expect(client.received).not.toContain('\r\n0\r\n\r\n')
  })

  it('that is answered while its body still comes does not leave the connection hanging', async () => {
    const { port } = await serve({
      handle: async (request, response) => {
        // Begun, then given up, as an upload refused in its middle is: Node itself drops only untouched bodies.
        await once(request, 'readable')
        request.read()
        response.writeHead(413).end('enough\n')
      },
    })
    const client = await RawClient.open(port)
    await client.say(
      `PATCH /files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n${'x'.repeat(2_000_000)}`,
    )
    await client.hear('enough')
    await client.say(`${'x'.repeat(2_000_000)}GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`)
    await client.hear('ok\n')
  })
})

describe('a download', () => {
  const endless: Handle = async (_request, response) => {
    response.writeHead(200, { 'Content-Length': String(2 ** 40) })
    const block = Buffer.alloc(1024 * 1024)
    while (!response.destroyed) {
      if (!response.write(block)) await Promise.race([once(response, 'drain'), once(response, 'close')])
    }
  }

  it('that is not read any more is ended', async () => {
    const { port, lines } = await serve({ handle: endless, idleTimeout: 200 })
    const client = await RawClient.open(port)
    client.socket.pause()
    await client.say('GET /files/a HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(await logged(lines, ({ message }) => message === 'request')).toMatchObject({
      status: 200,
      aborted: true,
    })
  })

  it('may be slow to begin', async () => {
    const { origin } = await serve({
      idleTimeout: 50,
      handle: async (_request, response) => {
        await new Promise((resolve) => setTimeout(resolve, 200))
        response.writeHead(200).end('late')
      },
    })
    expect(await (await fetch(`${origin}/files/a`)).text()).toBe('late')
  })
})

describe('readiness', () => {
  it('says which part is down, with a sentence only where it is one of ours', async () => {
    let failure: Error | null = new UploadError('registry_unavailable', 'The database does not answer.')
    const { origin } = await serve({ check: () => (failure ? Promise.reject(failure) : Promise.resolve()) })
    const look = async () => {
      const answer = await fetch(`${origin}/readyz`)
      return [answer.status, await answer.json()]
    }
    expect(await look()).toEqual([
      503,
      { ready: false, database: 'The database does not answer.', storage: 'up' },
    ])
    failure = new Error('connect /home/secret')
    expect(await look()).toEqual([503, { ready: false, database: 'failed', storage: 'up' }])
    failure = null
    expect(await look()).toEqual([200, { ready: true, database: 'up', storage: 'up' }])
  })

  it('does not wait for ever', async () => {
    const { origin } = await serve({ check: () => new Promise(() => undefined) })
    const answer = await fetch(`${origin}/readyz`)
    expect(await answer.json()).toMatchObject({ ready: false, database: 'did not answer within 2000 ms' })
  })

  it('ends with the drain, while health goes on', async () => {
    const { app, origin } = await serve()
    await app.drain()
    expect((await fetch(`${origin}/readyz`)).status).toBe(503)
    expect((await fetch(`${origin}/healthz`)).status).toBe(200)
  })
})

describe('a drain', () => {
  it('closes idle connections at once', async () => {
    const { server, port } = await serve()
    const client = await RawClient.open(port)
    await client.say('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
    await client.hear('ok\n')
    const silent = await RawClient.open(port)
    const drained = server.drain()
    // Long before the server's own limits would end them.
    await expect.poll(() => promisify(server.getConnections.bind(server))()).toBe(0)
    await Promise.all([drained, client.closed, silent.closed])
  })

  it('lets a running request end, tells its client that the connection goes, and takes no further one', async () => {
    let finish: () => void = () => undefined
    const { server, port } = await serve({
      handle: async (_request, response) => {
        await new Promise<void>((resolve) => {
          finish = resolve
        })
        response.writeHead(204).end()
      },
    })
    const client = await RawClient.open(port)
    await client.say('DELETE /files/a HTTP/1.1\r\nHost: x\r\n\r\n')
    await expect.poll(() => server.running).toBe(1)
    const drained = server.drain()
    finish()
    await Promise.all([drained, client.closed])
    expect(client.received).toMatch(/^HTTP\/1\.1 204 .*Connection: close\r\n/s)
    await expect(RawClient.open(port)).rejects.toThrow('ECONNREFUSED')
  })

  it('does not cut the end off an answer that is written but not yet sent', async () => {
    const size = 16 * 1024 * 1024
    const { server, port } = await serve({
      handle: async (_request, response) => void response.writeHead(200).end(Buffer.alloc(size, 'x')),
    })
    const client = await RawClient.open(port)
    client.socket.pause()
    await client.say('GET /files/a HTTP/1.1\r\nHost: x\r\n\r\n')
    await expect.poll(() => server.running).toBe(1)
    const drained = server.drain()
    client.socket.resume()
    await Promise.all([drained, client.closed])
    expect(client.received.length).toBeGreaterThan(size)
  })

  it('gives a client that still sends a moment to read the answer', async () => {
    let finish: () => void = () => undefined
    const finished = new Promise<void>((resolve) => {
      finish = resolve
    })
    const { server, port } = await serve({
      handle: async (request, response) => {
        await once(request, 'readable')
        request.read()
        await finished
        response.writeHead(503).end('draining\n')
      },
    })
    const client = await RawClient.open(port)
    await client.say(
      `PATCH /files/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n${'x'.repeat(1000)}`,
    )
    await expect.poll(() => server.running).toBe(1)
    const drained = server.drain()
    finish()
    await client.hear('draining')
    await Promise.all([drained, client.closed])
  })
})
