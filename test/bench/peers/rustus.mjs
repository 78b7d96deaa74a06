import { join } from 'node:path'
import { freePort } from './free-port.mjs'
import { installOnce } from './install-once.mjs'
import { runTool } from './run-tool.mjs'
import { startServer } from './start-server.mjs'

const VERSION = '0.5.10'
/** With the lock file it was published with: newer versions of what it depends on need not fit. */
const INSTALL = ['install', 'rustus', '--version', `=${VERSION}`, '--locked', '--features', 'hashers']
/** It refuses a PATCH above 256 KiB by default, and takes no word for "no limit". */
const BIGGEST_BODY = String(2 ** 40)
const home = (tools) => join(tools, `rustus-${VERSION}`)

export const rustus = {
  name: 'rustus',
  title: 'rustus (Rust)',
  speaks: new Set(['tus', 'creation-with-upload', 'concatenation', 'checksum']),
  syncs: false,

  async prepare(tools) {
    const args = [...INSTALL, '--root', home(tools)]
    await installOnce(home(tools), INSTALL.join(' '), () => runTool('cargo', args))
    return { version: VERSION }
  },

  async start({ tools, directory }) {
    const port = await freePort()
    const address = ['--host', '127.0.0.1', '--port', String(port), '--url', '/files']
    const data = ['--data-dir', join(directory, 'data'), '--info-dir', join(directory, 'info')]
    const args = [...address, ...data, '--max-body-size', BIGGEST_BODY, '--log-level', 'ERROR']
    const { pid, stop } = await startServer({ command: join(home(tools), 'bin', 'rustus'), args, port })
    return { url: `http://127.0.0.1:${port}/files`, roots: [pid], database: [], stop }
  },
}
