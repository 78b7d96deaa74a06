// Parallel, resumable uploads in a Fastify application.
//
//   DATABASE_URL=postgres://localhost/app node examples/embed-fastify.mjs

import { Server } from '@tus/server'
import Fastify from 'fastify'
import { extendServer, openParallelStore } from 'tus-tributary'

const { DATABASE_URL, DATABASE_SCHEMA, DATA_DIR = './data/blobs', PORT = '1080' } = process.env

const store = await openParallelStore({
  database: DATABASE_URL,
  schema: DATABASE_SCHEMA,
  bytes: { directory: DATA_DIR },
})
const tus = extendServer(new Server({ path: '/files', datastore: store }), { idleTimeout: 60_000 })

// Uploads may take hours, and a parallel upload names all its parts in one header.
const app = Fastify({ requestTimeout: 0, http: { maxHeaderSize: 128 * 1024 } })

app.get('/', async () => 'an application')

app.register(async (uploads) => {
  // Bodies below this path are left alone: they are streamed, and can be read only once.
  uploads.removeAllContentTypeParsers()
  uploads.addContentTypeParser('*', (_request, _body, done) => done(null))
  const handle = (request, reply) => {
    reply.hijack()
    return tus.handle(request.raw, reply.raw)
  }
  uploads.all('/files', handle)
  uploads.all('/files/*', handle)
})

const address = await app.listen({ port: Number(PORT), host: '127.0.0.1' })
console.log(`${address}/files`)

process.once('SIGTERM', async () => {
  await tus.drain()
  await app.close()
  await store.close()
})
