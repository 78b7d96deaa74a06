import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from './free-port.mjs'
import { installOnce } from './install-once.mjs'
import { runTool } from './run-tool.mjs'
import { startServer } from './start-server.mjs'

const VERSION = '1.8.0'
const MODULE = `github.com/versity/versitygw/cmd/versitygw@v${VERSION}`
const home = (tools) => join(tools, `versitygw-${VERSION}`)
const KEYS = { AWS_ACCESS_KEY_ID: 'tributary-bench', AWS_SECRET_ACCESS_KEY: 'tributary-bench-secret' }

/** The S3 server behind all that store in S3: versitygw, which keeps objects as files. */
export async function prepareObjects(tools) {
  const env = { ...process.env, GOBIN: home(tools) }
  await installOnce(home(tools), MODULE, () => runTool('go', ['install', MODULE], { env }))
  return `versitygw ${VERSION}`
}

/** One for a turn, with an empty bucket below `directory`: { endpoint, bucket, env, stop }. */
export async function startObjects({ tools, directory }) {
  const bucket = 'uploads'
  const data = join(directory, 'objects')
  await mkdir(join(data, bucket), { recursive: true })
  const port = await freePort()
  const { stop } = await startServer({
    command: join(home(tools), 'versitygw'),
    // Other than by itself, it keeps connections, as all providers do.
    args: ['--port', `127.0.0.1:${port}`, '--keep-alive', '--quiet', 'posix', data],
    port,
    env: { ROOT_ACCESS_KEY: KEYS.AWS_ACCESS_KEY_ID, ROOT_SECRET_KEY: KEYS.AWS_SECRET_ACCESS_KEY },
  })
  return { endpoint: `http://127.0.0.1:${port}`, bucket, env: { ...KEYS, AWS_REGION: 'us-east-1' }, stop }
}
