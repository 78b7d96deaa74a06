// Parallel, resumable uploads in a server of node:http.
//
//   DATABASE_URL=postgres://localhost/app node examples/embed-node-http.mjs

import { createServer } from 'node:http'
import { Server } from '@tus/server'
import { extendServer, openParallelStore } from 'tus-tributary'

const { DATABASE_URL, DATABASE_SCHEMA, DATA_DIR = './data/blobs', PORT = '1080' } = process.env

const store = await openParallelStore({
  database: DATABASE_URL,
  schema: DATABASE_SCHEMA,
  bytes: { directory: DATA_DIR },
})

store.events.on('upload_completed', ({ upload }) => {
  // Of a parallel upload, first the parts are completed, then the whole.
  if (upload.kind !== 'partial') console.log(`completed ${upload.id} ${upload.filename ?? ''}`)
})

// Without `extendServer` the server works as with any stock store. With it come parallel uploads and checksums.
const tus = extendServer(new Server({ path: '/files', datastore: store }), { idleTimeout: 60_000 })

// Uploads may take hours, where Node ends a request after five minutes; and a parallel upload names all its parts in
// one header.
const http = createServer({ requestTimeout: 0, maxHeaderSize: 128 * 1024 }, (request, response) => {
  if (request.url?.startsWith('/files')) void tus.handle(request, response)
  else response.writeHead(404).end()
})
http.on('checkContinue', (request, response) => void tus.checkContinue(request, response))
http.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}/files`))

process.once('SIGTERM', async () => {
  http.close()
  await tus.drain()
  http.closeIdleConnections()
  await store.close()
})
