import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { describe, expect, test } from 'vitest'
import { openStore, serveStock, somewhere } from '../support/embedded-store.js'
import { create, digestAt, head, offsetOf, patch, send } from '../support/kept-connections.js'
import { openPatch } from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { TusClient } from '../support/tus-client.js'

const MIB = 1024 * 1024

describe('a server of @tus/server with its own handlers', () => {
  test.for([
    ['in one request', {}],
    ['in chunks', { chunkSize: 300_000 }],
    ['with the first bytes in the creation', { uploadDataDuringCreation: true, chunkSize: 300_000 }],
  ] as const)('takes an upload of tus-js-client %s', async ([, options]) => {
    const store = await openStore(await somewhere())
    const { endpoint } = await serveStock(store, { locker: store.locker })
    const content = seededBytes('stock', MIB + 17)
    const metadata = { filename: 'Grüße.bin', filetype: 'application/x-test' }
    const client = new TusClient(content, { endpoint, metadata, ...options })
    const upload = await client.run()
    expect(await digestAt(upload)).toBe(sha256(content))
    const { headers } = await head(upload)
    expect(headers['upload-metadata']).toBe(client.exchanges[0]?.metadata)
  })

  test('names uploads as the store does, in Location and in its events', async () => {
    const store = await openStore(await somewhere())
    const { server, endpoint } = await serveStock(store)
    const created: string[] = []
    server.on('POST_CREATE', (_request, upload) => void created.push(upload.id))
    const upload = await create(endpoint, 3)
    expect(upload).toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(created).toEqual([upload.split('/').at(-1)])
  })

  test('takes a length declared later, also with bytes that complete it', async () => {
    const store = await openStore(await somewhere())
    const { endpoint } = await serveStock(store)
    const answer = await send(endpoint, { method: 'POST', headers: { 'Upload-Defer-Length': '1' } })
    const upload = answer.headers.location ?? ''
    expect((await head(upload)).headers['upload-defer-length']).toBe('1')
    expect((await patch(upload, 0, Buffer.from('123'))).status).toBe(204)
    const rest = {
      'Upload-Length': '5',
      'Upload-Offset': '3',
      'Content-Type': 'application/offset+octet-stream',
    }
    expect((await send(upload, { method: 'PATCH', headers: rest, body: '45' })).status).toBe(204)
    expect(await digestAt(upload)).toBe(sha256(Buffer.from('12345')))
  })

  test('refuses what it should in the words of the store', async () => {
    const store = await openStore(await somewhere(), { maxSize: 10 })
    const { endpoint } = await serveStock(store)
    const upload = await create(endpoint, 3)
    expect((await patch(upload, 1, Buffer.from('2'))).status).toBe(409)
    expect((await head(`${endpoint}/${randomUUID()}`)).status).toBe(404)
    expect((await head(`${endpoint}/unknown`)).status).toBe(404)
    const large = await send(endpoint, { method: 'POST', headers: { 'Upload-Length': '11' } })
    expect(large).toMatchObject({
      status: 413,
      body: 'Uploads may have up to 10 bytes; this one would have 11.\n',
    })
  })

  test('advertises what works with these handlers', async () => {
    const store = await openStore(await somewhere())
    const { endpoint } = await serveStock(store)
    const { headers } = await send(endpoint, { method: 'OPTIONS' })
    expect(headers['tus-extension']).toBe(
      'creation,creation-with-upload,creation-defer-length,termination,expiration',
    )
    const partial = { 'Upload-Length': '3', 'Upload-Concat': 'partial' }
    expect((await send(endpoint, { method: 'POST', headers: partial })).status).toBe(501)
  })

  test('terminates', async () => {
    const store = await openStore(await somewhere())
    const { endpoint } = await serveStock(store)
    const upload = await create(endpoint, 3)
    expect((await send(upload, { method: 'DELETE' })).status).toBe(204)
    expect((await head(upload)).status).toBe(404)
  })

  test('keeps what a client sent before it left', async () => {
    const store = await openStore(await somewhere())
    const { endpoint } = await serveStock(store, { locker: store.locker, lockDrainTimeout: 100 })
    const upload = await create(endpoint, 1000)
    const leaving = openPatch(upload, 0, 1000)
    await leaving.write(Buffer.alloc(400, 1))
    const id = upload.split('/').at(-1) ?? ''
    const recorded = async () => (await store.engine.registry.find(id, null))?.upload.offset
    await expect.poll(recorded).toBe(400)
    leaving.destroy()
    expect(await offsetOf(upload)).toBe(400)
    expect((await patch(upload, 400, Buffer.alloc(600, 2))).status).toBe(204)
  })

  test('outlives downloads that are cut, also at their very end', async () => {
    const store = await openStore(await somewhere())
    const { endpoint } = await serveStock(store)
    const content = seededBytes('cut', 600_000)
    const upload = await new TusClient(content, { endpoint }).run()
    // Anything uncaught here ends the run of the tests, as it would end the process of a server.
    for (let at = 0; at < 5; at++) await readAndLeave(upload, (content.length * at) / 5)
    for (let times = 0; times < 40; times++) await readAndLeave(upload, content.length)
    expect(await digestAt(upload)).toBe(sha256(content))
  })

  test('tells finished uploads from expired ones', async () => {
    const store = await openStore(await somewhere(), { expiration: 1_000 })
    const { endpoint } = await serveStock(store)
    const finished = await create(endpoint, 3)
    expect((await patch(finished, 0, Buffer.from('123'))).status).toBe(204)
    const answer = await send(endpoint, { method: 'POST', headers: { 'Upload-Length': '3' } })
    const expires = Date.parse(answer.headers['upload-expires'] ?? '')
    expect(Math.abs(expires - Date.now() - 1_000)).toBeLessThan(2_000)
    await expect.poll(async () => (await head(answer.headers.location ?? '')).status).toBe(410)
    expect((await head(finished)).status).toBe(200)
    expect((await patch(finished, 3, Buffer.alloc(0))).status).toBe(204)
  })

  test('an upload goes on at any of two servers on one database', async () => {
    const place = await somewhere()
    const [here, there] = [await openStore(place), await openStore(place)]
    const one = await serveStock(here, { locker: here.locker })
    const other = await serveStock(there, { locker: there.locker })
    const content = seededBytes('alternately', 400)
    const upload = await create(one.endpoint, content.length)
    for (let at = 0; at < content.length; at += 100) {
      const endpoint = at % 200 === 0 ? other.endpoint : one.endpoint
      const url = `${endpoint}/${upload.split('/').at(-1)}`
      expect((await patch(url, at, content.subarray(at, at + 100))).status).toBe(204)
    }
    expect(await digestAt(upload)).toBe(sha256(content))
  })
})

/** Hangs up as soon as so many bytes of a download have come. */
async function readAndLeave(upload: string, bytes: number): Promise<void> {
  const sent = request(upload, { agent: false }).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  let seen = 0
  for await (const piece of response) {
    seen += (piece as Buffer).length
    if (seen >= bytes) break
  }
  sent.destroy()
}
