import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { WriteOptions, WriteResult } from '../../src/upload/ports.js'
import { MIB, newBlob, StoredBytes } from '../contract/byte-store/fixture.js'
import { openDiskStore } from '../support/disk-store.js'
import { Gate } from '../support/gate.js'
import { collect, pattern } from '../support/sources.js'

/** A server that stores the body of one request, and a client that speaks to it byte by byte. */
async function receiveOne(options: Partial<WriteOptions> = {}) {
  const { store } = await openDiskStore()
  const blob = newBlob()
  const stored = new StoredBytes()
  const arrived = new Gate()
  let request: IncomingMessage | undefined
  let result: (value: WriteResult) => void
  const done = new Promise<WriteResult>((resolve) => {
    result = resolve
  })
  const server = createServer(async (incoming: IncomingMessage, response: ServerResponse) => {
    request = incoming
    const write = store.write(blob, 0, incoming, {
      limit: 64 * MIB,
      fresh: true,
      onStored: stored.saw,
      ...options,
    })
    arrived.open()
    const outcome = await write.done
    result(outcome)
    if (!response.destroyed) response.end(`${outcome.ended} ${outcome.stored}`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.on('error', () => undefined)
  onTestFinished(() => {
    client.destroy()
    server.closeAllConnections()
    server.close()
  })
  const begin = (length: number) => {
    client.write(`PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: ${length}\r\n\r\n`)
  }
  const read = () => collect(store.read(blob, 0, 1))
  return { store, blob, client, begin, stored, arrived, done, read, request: () => request }
}

async function answer(client: Socket): Promise<string> {
  let text = ''
  for await (const bytes of client) {
    text += String(bytes)
    if (text.includes('\r\n\r\n') && /(end|cut|aborted|limit|failed) \d+/.test(text)) break
  }
  return text
}

describe('a request as the source', () => {
  test('is stored whole, and answered', async () => {
    const { client, begin, done, store, blob } = await receiveOne()
    const bytes = pattern(5 * MIB)
    begin(bytes.length)
    client.write(bytes)
    expect(await answer(client)).toContain(`end ${bytes.length}`)
    expect(await done).toEqual({ stored: bytes.length, ended: 'end' })
    expect((await collect(store.read(blob, 0, bytes.length))).equals(bytes)).toBe(true)
  })

  test.each(['end', 'destroy', 'resetAndDestroy'] as const)(
    'keeps what came before the client left (%s)',
    async (leave) => {
      const { client, begin, done, stored, store, blob } = await receiveOne()
      const bytes = pattern(300_000)
      begin(1_000_000)
      client.write(bytes)
      await stored.reach(bytes.length)
      client[leave]()
      expect(await done).toEqual({ stored: bytes.length, ended: 'cut' })
      expect((await collect(store.read(blob, 0, bytes.length))).equals(bytes)).toBe(true)
    },
  )

  test('keeps what the stream had read while the store was busy, and the client left', async () => {
    const gate = new Gate()
    const { client, begin, done, arrived, request, store, blob } = await receiveOne({
      onStored: () => gate.opened,
    })
    const bytes = pattern(12 * MIB)
    begin(20 * MIB)
    await arrived.opened
    client.write(bytes)
    const incoming = request()
    // The store takes 2 MiB and pauses the request, which buffers a little more.
    while (incoming?.isPaused() !== true || incoming.readableLength === 0) await new Promise(setImmediate)
    incoming.destroy()
    gate.open()
    const { stored, ended } = await done
    expect(ended).toBe('cut')
    expect(incoming.readableLength).toBe(0)
    expect(stored).toBeGreaterThan(2 * MIB)
    expect((await collect(store.read(blob, 0, stored))).equals(bytes.subarray(0, stored))).toBe(true)
  })

  test('can still be answered after the signal', async () => {
    const stop = new AbortController()
    const { client, begin, stored } = await receiveOne({ signal: stop.signal })
    begin(1_000_000)
    client.write(pattern(300_000))
    await stored.reach(300_000)
    stop.abort()
    expect(await answer(client)).toContain('aborted 300000')
  })

  test('can still be answered after the limit', async () => {
    const { client, begin } = await receiveOne({ limit: 1000 })
    begin(100_000)
    client.write(pattern(100_000))
    expect(await answer(client)).toContain('limit 1000')
  })

  test('may come in the smallest chunks', async () => {
    const { client, store, blob } = await receiveOne()
    client.write('PUT / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n')
    const bytes = pattern(20_000)
    client.write([...bytes].map((byte) => `1\r\n${String.fromCharCode(byte)}\r\n`).join(''), 'latin1')
    client.write('0\r\n\r\n')
    expect(await answer(client)).toContain('end 20000')
    expect((await collect(store.read(blob, 0, bytes.length))).equals(bytes)).toBe(true)
  })
})
