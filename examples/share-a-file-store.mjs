// Several processes of @tus/server over one FileStore, with its own handlers and the locks of PostgreSQL: two requests
// for one upload exclude each other wherever they arrive, which the locks in memory of @tus/server cannot do.
//
//   DATABASE_URL=postgres://localhost/app PORT=1081 node examples/share-a-file-store.mjs

import { createServer } from 'node:http'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'
import { openPostgresLocker } from 'tus-tributary'

const { DATABASE_URL, DATABASE_SCHEMA, DATA_DIR = './data/files', PORT = '1080' } = process.env

const locks = await openPostgresLocker({ database: DATABASE_URL, schema: DATABASE_SCHEMA })
const server = new Server({
  path: '/files',
  datastore: new FileStore({ directory: DATA_DIR }),
  locker: locks.locker,
  // How long a request that is asked to let go may still take, in ms.
  lockDrainTimeout: 100,
})

const http = createServer({ requestTimeout: 0 }, server.handle.bind(server))
http.listen(Number(PORT), '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}/files`))

process.once('SIGTERM', async () => {
  http.close()
  http.closeAllConnections()
  await locks.close()
})
