import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.mjs'
import { onObjects } from './on-objects.mjs'
import { startServer } from './start-server.mjs'

const PROGRAM = fileURLToPath(new URL('tus-server/server.mjs', import.meta.url))
const PROGRAM_S3 = fileURLToPath(new URL('tus-server/server-s3.mjs', import.meta.url))
const PACKAGES = new URL('../../../node_modules/@tus/', import.meta.url)

export const tusServer = {
  name: 'tus-server',
  title: '@tus/server (Node)',
  speaks: new Set(['tus', 'creation-with-upload']),
  syncs: false,

  async prepare() {
    const [server, store] = await Promise.all([versionOf('server'), versionOf('file-store')])
    return { version: `${server} with @tus/file-store ${store}` }
  },

  async start({ directory }) {
    const port = await freePort()
    const args = [PROGRAM, String(port), join(directory, 'files')]
    const { pid, stop } = await startServer({ command: process.execPath, args, port })
    return { url: `http://127.0.0.1:${port}/files`, roots: [pid], database: [], stop }
  },
}

export const tusServerS3 = onObjects({
  ...tusServer,
  name: 'tus-server-s3',
  title: '@tus/server, S3 (Node)',

  async prepare() {
    const [server, store] = await Promise.all([versionOf('server'), versionOf('s3-store')])
    return { version: `${server} with @tus/s3-store ${store}` }
  },

  async start({ objects: { endpoint, bucket, env } }) {
    const port = await freePort()
    const args = [PROGRAM_S3, String(port), endpoint, bucket]
    const { pid, stop } = await startServer({ command: process.execPath, args, port, env })
    return { url: `http://127.0.0.1:${port}/files`, roots: [pid], database: [], stop }
  },
})

async function versionOf(name) {
  return JSON.parse(await readFile(new URL(`${name}/package.json`, PACKAGES), 'utf8')).version
}
