import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.mjs'
import { startServer } from './start-server.mjs'

const PROGRAM = fileURLToPath(new URL('tus-server/server.mjs', import.meta.url))
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

async function versionOf(name) {
  return JSON.parse(await readFile(new URL(`${name}/package.json`, PACKAGES), 'utf8')).version
}
