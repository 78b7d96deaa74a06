import { createServer, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { InFlight, type Passage } from '../../src/http/in-flight.js'
import type { Reply } from '../../src/http/reply.js'
import { serve } from '../../src/http/serve.js'
import { silent } from '../../src/upload/log.js'
import { Gate } from '../support/gate.js'
import { RawClient } from '../support/raw-client.js'
import { collect } from '../support/sources.js'

type Answer = (request: IncomingMessage, passage: Passage) => Promise<Reply>

interface Circumstances {
  readonly idleTimeout?: number
  /** What the host does with a request before it is served. */
  readonly before?: () => Promise<void>
}

/** A server of node:http whose requests are answered so. */
async function answering(answer: Answer, { idleTimeout, before }: Circumstances = {}) {
  const inFlight = new InFlight()
  const counter = { log: silent, inFlight, idleTimeout: idleTimeout ?? null }
  const server = createServer(async (request, response) => {
    await before?.()
    await serve(counter, request, response, (passage) => answer(request, passage))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { inFlight, port: (server.address() as AddressInfo).port }
}

describe('requests that were sent without waiting for answers', () => {
  const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'

  test('end with their connection, the answers behind the first, too', async () => {
    const bodies: Readable[] = []
    const { inFlight, port } = await answering(async () => {
      const body = new Readable({ read: () => body.push(Buffer.alloc(64 * 1024)) })
      bodies.push(body)
      return { status: 200, headers: {}, body }
    })
    const client = await RawClient.open(port)
    client.socket.pause()
    await client.say(GET.repeat(20))
    await expect.poll(() => bodies.length).toBe(20)
    client.socket.destroy()
    await expect.poll(() => inFlight.count).toBe(0)
    expect(bodies.filter(({ destroyed }) => !destroyed)).toEqual([])
  })

  test('end when the connection went before there was an answer', async () => {
    let began = 0
    const { inFlight, port } = await answering(async () => {
      began += 1
      await sleep(500)
      return { status: 200, headers: {}, body: 'late' }
    })
    const client = await RawClient.open(port)
    await client.say(GET.repeat(3))
    await expect.poll(() => began).toBe(3)
    client.socket.destroy()
    await expect.poll(() => inFlight.count).toBe(0)
  })

  test('end when the connection went before they were served', async () => {
    let waiting = 0
    const gate = new Gate()
    const before = async () => {
      waiting += 1
      await gate.opened
    }
    let answered = 0
    const answer: Answer = async () => {
      answered += 1
      return { status: 200, headers: {}, body: 'late' }
    }
    const { inFlight, port } = await answering(answer, { before })
    const client = await RawClient.open(port)
    await client.say(GET.repeat(3))
    await expect.poll(() => waiting).toBe(3)
    client.socket.destroy()
    await sleep(100)
    gate.open()
    await expect.poll(() => answered).toBe(3)
    await expect.poll(() => inFlight.count).toBe(0)
  })
})

test('a request that somebody made up is answered like others, though it has no connection', async () => {
  const request = new IncomingMessage({ remoteAddress: '127.0.0.1' } as Socket)
  const response = new ServerResponse(request)
  let written = ''
  const sink = new Writable({
    write: (bytes, _encoding, done) => {
      written += String(bytes)
      done()
    },
  })
  response.assignSocket(sink as unknown as Socket)
  const counter = { log: silent, inFlight: new InFlight(), idleTimeout: null }
  await serve(counter, request, response, async () => ({ status: 200, headers: {}, body: 'made up' }))
  expect(written).toMatch(/^HTTP\/1\.1 200 .*made up$/s)
})

describe('the time in which a client must send something', () => {
  const POST = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n'
  const LIMIT = 200

  const afterItsBody: Answer = async (request, { signal }) => {
    await collect(request)
    await sleep(5 * LIMIT)
    return { status: 200, headers: {}, body: signal.aborted ? 'interrupted' : 'not interrupted' }
  }

  test('is over with its last byte, however long the answer takes', async () => {
    const { port } = await answering(afterItsBody, { idleTimeout: LIMIT })
    const client = await RawClient.open(port)
    await client.say(`${POST}body`)
    expect(await client.hear('interrupted')).toContain('not interrupted')
  })

  test('is not over before', async () => {
    let reason: unknown = null
    const untilInterrupted: Answer = async (request, { signal }) => {
      request.resume()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      reason = signal.reason
      return { status: 408, headers: {}, body: '' }
    }
    const { port } = await answering(untilInterrupted, { idleTimeout: LIMIT })
    const client = await RawClient.open(port)
    await client.say(`${POST}bod`)
    expect(await client.status()).toBe(408)
    expect(reason).toMatchObject({ code: 'request_timeout' })
  })
})
