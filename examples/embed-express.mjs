// Parallel, resumable uploads in an Express application, where everybody sees only what is theirs.
//
//   DATABASE_URL=postgres://localhost/app node examples/embed-express.mjs

import { createServer } from 'node:http'
import { Server } from '@tus/server'
import express from 'express'
import { extendServer, openParallelStore } from 'tus-tributary'

const { DATABASE_URL, DATABASE_SCHEMA, DATA_DIR = './data/blobs', PORT = '1080' } = process.env

const store = await openParallelStore({
  database: DATABASE_URL,
  schema: DATABASE_SCHEMA,
  bytes: { directory: DATA_DIR },
})

const tus = extendServer(new Server({ path: '/files', datastore: store }), {
  idleTimeout: 60_000,
  identify: (request) => {
    if (request.user) return request.user
    throw { status_code: 401, body: 'Say who you are.\n' }
  },
})

const app = express()

// Your own middleware says who is asking. This one believes a header, as only a server behind a proxy that sets it may.
app.use((request, _response, next) => {
  request.user = request.get('X-User')
  next()
})

// Before any body parser: uploads are streamed, and a body can be read only once.
app.use('/files', tus.handle)
app.use(express.json())
app.get('/', (_request, response) => response.send('an application'))

// Uploads may take hours, where Node ends a request after five minutes; and a parallel upload names all its parts in
// one header.
const http = createServer({ requestTimeout: 0, maxHeaderSize: 128 * 1024 }, app)
http.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}/files`))

process.once('SIGTERM', async () => {
  http.close()
  await tus.drain()
  http.closeIdleConnections()
  await store.close()
})
