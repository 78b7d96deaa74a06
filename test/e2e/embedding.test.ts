import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Server } from '@tus/server'
import express from 'express'
import Fastify from 'fastify'
import { describe, expect, onTestFinished, test } from 'vitest'
import { listen, openStore, somewhere } from '../support/embedded-store.js'
import { ExampleProcess } from '../support/example-process.js'
import { digestAt } from '../support/kept-connections.js'
import {
  at,
  create,
  downloadedDigest,
  head,
  OpenRequest,
  offsetOf,
  openPatch,
  patch,
  send,
} from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { type ClientOptions, TusClient } from '../support/tus-client.js'

const CONTENT = seededBytes('embedding', 3 * 1024 * 1024 + 17)

const EXAMPLES = ['embed-express', 'embed-fastify', 'embed-node-http'] as const

/** The Express example wants to know who asks. */
const ADA = { 'X-User': 'ada' }

describe.for(EXAMPLES)('examples/%s.mjs', (name) => {
  test.for([
    ['in one request', {}],
    ['in chunks, the first in the creation', { chunkSize: 700_000, uploadDataDuringCreation: true }],
    ['in 4 parts', { parallelUploads: 4 }],
  ] as const satisfies [string, Partial<ClientOptions>][])(
    'takes an upload of tus-js-client %s',
    async ([, options]) => {
      const { endpoint } = await ExampleProcess.start(name, await somewhere())
      const client = new TusClient(CONTENT, { endpoint, headers: ADA, ...options })
      const upload = await client.run()
      expect(client.finals).toHaveLength('parallelUploads' in options ? 1 : 0)
      expect(await digestAt(upload, ADA)).toBe(sha256(CONTENT))
    },
  )

  test('checks checksums', async () => {
    const { endpoint } = await ExampleProcess.start(name, await somewhere())
    const upload = await create(endpoint, 5, ADA)
    const headers = {
      ...ADA,
      'Upload-Offset': '0',
      'Content-Type': 'application/offset+octet-stream',
      'Upload-Checksum': 'sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=',
    }
    expect((await send(upload, { method: 'PATCH', headers, body: 'hello' })).status).toBe(460)
  })

  test('stops on SIGTERM while an upload runs, and goes on after the next start', async () => {
    const place = await somewhere()
    const first = await ExampleProcess.start(name, place)
    const upload = await create(first.endpoint, 10, ADA)
    const headers = { ...ADA, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' }
    const running = new OpenRequest(upload, { method: 'PATCH', headers, length: 10 })
    await running.write('01234')
    await expect.poll(() => bytesBelow(place.directory)).toBe(5)
    expect(await first.stop()).toEqual({ code: 0, signal: null })
    const second = await ExampleProcess.start(name, place)
    const url = at(second.endpoint, upload)
    expect((await send(url, { method: 'HEAD', headers: ADA })).headers['upload-offset']).toBe('5')
    const rest = { ...ADA, 'Upload-Offset': '5', 'Content-Type': 'application/offset+octet-stream' }
    expect((await send(url, { method: 'PATCH', headers: rest, body: '56789' })).status).toBe(204)
    expect(await digestAt(url, ADA)).toBe(sha256(Buffer.from('0123456789')))
  })
})

describe('owners, as examples/embed-express.mjs has them', () => {
  test('what belongs to others does not exist', async () => {
    const { endpoint } = await ExampleProcess.start('embed-express', await somewhere())
    const whole = await new TusClient(CONTENT, { endpoint, headers: ADA }).run()
    const part = await create(endpoint, 3, { ...ADA, 'Upload-Concat': 'partial' })
    const eve = { 'X-User': 'eve' }
    for (const method of ['HEAD', 'GET', 'DELETE']) {
      expect((await send(whole, { method, headers: eve })).status).toBe(404)
    }
    const final = { 'Upload-Concat': `final;${part}` }
    expect((await send(endpoint, { method: 'POST', headers: { ...eve, ...final } })).status).toBe(404)
    expect((await send(endpoint, { method: 'POST', headers: { ...ADA, ...final } })).status).toBe(201)
    expect((await send(whole, { method: 'HEAD' })).status).toBe(401)
    expect(await digestAt(whole, ADA)).toBe(sha256(CONTENT))
  })
})

describe('two processes of @tus/server over one FileStore, with the locks of PostgreSQL', () => {
  test('hand an upload over, whichever is asked', async () => {
    const place = await somewhere()
    const [one, other] = await Promise.all([
      ExampleProcess.start('share-a-file-store', place),
      ExampleProcess.start('share-a-file-store', place),
    ])
    const upload = await create(one.endpoint, 10)
    const stalled = openPatch(upload, 0, 10)
    await stalled.write('01234')
    // FileStore knows what it has; the request that writes still holds the lock.
    const file = join(place.directory, upload.split('/').at(-1) ?? '')
    await expect.poll(async () => (await stat(file)).size).toBe(5)
    const elsewhere = at(other.endpoint, upload)
    expect(await offsetOf(elsewhere)).toBe(5)
    expect((await patch(elsewhere, 5, Buffer.from('56789'))).status).toBe(204)
    expect(await downloadedDigest(elsewhere)).toBe(sha256(Buffer.from('0123456789')))
  })

  test('tus-js-client goes on at the other one', async () => {
    const place = await somewhere()
    const one = await ExampleProcess.start('share-a-file-store', place)
    const other = await ExampleProcess.start('share-a-file-store', place)
    const begun = await create(one.endpoint, CONTENT.length)
    await patch(begun, 0, CONTENT.subarray(0, 1_000_000))
    const { endpoint } = other
    const client = new TusClient(CONTENT, { endpoint, uploadUrl: at(endpoint, begun) })
    expect(await downloadedDigest(await client.run())).toBe(sha256(CONTENT))
    expect(client.resumedAt).toBe(1_000_000)
  })
})

describe('without extendServer', () => {
  test('an Express application serves a ParallelStore as any stock store', async () => {
    const store = await openStore(await somewhere())
    const server = new Server({ path: '/files', datastore: store, locker: store.locker })
    const app = express()
    app.use('/files', server.handle.bind(server))
    await takesAnUpload(`${await listen(app)}/files`)
  })

  test('so does Fastify', async () => {
    const store = await openStore(await somewhere())
    const server = new Server({ path: '/files', datastore: store, locker: store.locker })
    const app = Fastify()
    app.addContentTypeParser('application/offset+octet-stream', (_request, _body, done) => done(null))
    for (const path of ['/files', '/files/*']) {
      app.all(path, (request, reply) => {
        reply.hijack()
        return server.handle(request.raw, reply.raw)
      })
    }
    onTestFinished(() => app.close())
    await takesAnUpload(`${await app.listen({ port: 0, host: '127.0.0.1' })}/files`)
  })
})

async function takesAnUpload(endpoint: string): Promise<void> {
  const client = new TusClient(CONTENT, { endpoint, chunkSize: 1024 * 1024 })
  const upload = await client.run()
  expect(await digestAt(upload)).toBe(sha256(CONTENT))
  expect((await head(upload)).headers['upload-offset']).toBe(String(CONTENT.length))
}

async function bytesBelow(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(
    files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}
