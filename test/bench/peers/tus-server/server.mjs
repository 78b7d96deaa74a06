/** The standalone server of @tus/server's README: node server.mjs PORT DIRECTORY */
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'

const [port, directory] = process.argv.slice(2)
const server = new Server({ path: '/files', datastore: new FileStore({ directory }) })
const http = server.listen({ host: '127.0.0.1', port: Number(port) })
// Node ends a request that takes longer than five minutes, which is a slow PATCH and no fault.
http.requestTimeout = 0
