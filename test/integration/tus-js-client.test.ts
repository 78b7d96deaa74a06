import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import express from 'express'
import fastify from 'fastify'
import Koa from 'koa'
import { Upload, type UploadOptions } from 'tus-js-client'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { send } from '../support/raw-tus.js'
import { TusStage } from '../support/tus-stage.js'

let stage: TusStage
beforeEach(async () => {
  stage = await TusStage.open()
})
afterEach(() => stage.close())

const BYTES = randomBytes(3_000_001)

function upload(source: Buffer | Readable, options: UploadOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = new Upload(source, {
      endpoint: stage.endpoint,
      retryDelays: [],
      metadata: { filename: 'ä.bin' },
      onError: reject,
      onSuccess: () => resolve(sent.url ?? ''),
      ...options,
    })
    sent.start()
  })
}

async function downloaded(url: string): Promise<Buffer> {
  const answer = await fetch(url)
  expect(answer.status).toBe(200)
  return Buffer.from(await answer.arrayBuffer())
}

describe('tus-js-client uploads', () => {
  test.each<[string, UploadOptions]>([
    ['in one request', {}],
    ['in chunks', { chunkSize: 500_000 }],
    ['with the creation', { uploadDataDuringCreation: true }],
    ['with the creation, in chunks', { uploadDataDuringCreation: true, chunkSize: 500_000 }],
    ['through POST alone', { overridePatchMethod: true, addRequestId: true }],
    ['in 4 parts', { parallelUploads: 4 }],
    ['in 16 parts with metadata', { parallelUploads: 16, metadataForPartialUploads: { group: 'a' } }],
  ])('%s', async (_, options) => {
    const url = await upload(BYTES, options)
    expect((await downloaded(url)).equals(BYTES)).toBe(true)
  })

  test('a stream of unknown length', async () => {
    const pieces = [BYTES.subarray(0, 1_000_000), BYTES.subarray(1_000_000)]
    const url = await upload(Readable.from(pieces, { objectMode: false }), {
      uploadLengthDeferred: true,
      chunkSize: 700_000,
    })
    expect((await downloaded(url)).equals(BYTES)).toBe(true)
  })

  test('fewer bytes than parts, and none at all', async () => {
    for (const size of [0, 2]) {
      const bytes = BYTES.subarray(0, size)
      const url = await upload(Buffer.from(bytes), { parallelUploads: 4 })
      expect((await downloaded(url)).equals(bytes)).toBe(true)
    }
  })

  test('and goes on where an aborted one stopped', async () => {
    const url = await new Promise<string>((resolve, reject) => {
      const first = new Upload(BYTES, {
        endpoint: stage.endpoint,
        chunkSize: 1_000_000,
        onError: reject,
        onChunkComplete: () => {
          first.abort().then(() => resolve(first.url ?? ''), reject)
        },
      })
      first.start()
    })
    expect(await upload(BYTES, { uploadUrl: url })).toBe(url)
    expect((await downloaded(url)).equals(BYTES)).toBe(true)
    await Upload.terminate(url)
    expect((await send(url)).status).toBe(404)
  })
})

describe('mounted in', () => {
  async function works(listener: RequestListener): Promise<void> {
    const http = createServer(listener)
    await once(http.listen(0, '127.0.0.1'), 'listening')
    const endpoint = `http://127.0.0.1:${(http.address() as AddressInfo).port}/files`
    try {
      for (const parallelUploads of [1, 3]) {
        const url = await upload(BYTES, { endpoint, parallelUploads })
        expect(url.startsWith(`${endpoint}/`)).toBe(true)
        expect((await downloaded(url)).equals(BYTES)).toBe(true)
      }
    } finally {
      http.closeAllConnections()
      http.close()
    }
  }

  test('Express, below a path it takes away', async () => {
    const app = express()
    app.use('/files', (request, response) => stage.tus.handle(request, response))
    await works(app)
  })

  test('Koa', async () => {
    const app = new Koa()
    app.use(async (ctx) => {
      ctx.respond = false
      await stage.tus.handle(ctx.req, ctx.res)
    })
    await works(app.callback())
  })

  test('Fastify', async () => {
    const app = fastify()
    app.addContentTypeParser('application/offset+octet-stream', (_request, _payload, done) => done(null))
    for (const path of ['/files', '/files/*']) {
      app.all(path, (request, reply) => {
        reply.hijack()
        return stage.tus.handle(request.raw, reply.raw)
      })
    }
    await app.ready()
    await works((request, response) => app.routing(request, response))
    await app.close()
  })
})
