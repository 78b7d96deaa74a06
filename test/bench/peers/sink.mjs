import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.mjs'
import { startServer } from './start-server.mjs'

const PROGRAM = fileURLToPath(new URL('sink/server.mjs', import.meta.url))

export const sink = {
  name: 'sink',
  title: 'bare sink (Node)',
  speaks: new Set(['put']),
  syncs: false,

  async prepare() {
    return { version: process.version }
  },

  async start({ directory }) {
    const port = await freePort()
    const files = join(directory, 'files')
    await mkdir(files)
    const args = [PROGRAM, String(port), files]
    const { pid, stop } = await startServer({ command: process.execPath, args, port })
    return { url: `http://127.0.0.1:${port}`, roots: [pid], database: [], stop }
  },
}
