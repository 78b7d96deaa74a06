import { join } from 'node:path'
import { freePort } from './free-port.mjs'
import { installOnce } from './install-once.mjs'
import { onObjects } from './on-objects.mjs'
import { runTool } from './run-tool.mjs'
import { startServer } from './start-server.mjs'

const VERSION = '2.9.1'
const MODULE = `github.com/tus/tusd/v2/cmd/tusd@v${VERSION}`
const home = (tools) => join(tools, `tusd-${VERSION}`)

export const tusd = {
  name: 'tusd',
  title: 'tusd (Go)',
  speaks: new Set(['tus', 'creation-with-upload', 'concatenation']),
  syncs: false,

  async prepare(tools) {
    const env = { ...process.env, GOBIN: home(tools) }
    await installOnce(home(tools), MODULE, () => runTool('go', ['install', MODULE], { env }))
    return { version: VERSION }
  },

  start: ({ tools, directory }) => start(tools, ['-upload-dir', join(directory, 'uploads')]),
}

export const tusdS3 = onObjects({
  ...tusd,
  name: 'tusd-s3',
  title: 'tusd, S3 (Go)',
  start: ({ tools, objects: { endpoint, bucket, env } }) =>
    start(tools, ['-s3-bucket', bucket, '-s3-endpoint', endpoint], env),
})

async function start(tools, store, env = {}) {
  const port = await freePort()
  const address = ['-host', '127.0.0.1', '-port', String(port), '-base-path', '/files/']
  const quiet = ['-verbose=false', '-show-greeting=false', '-show-startup-logs=false']
  const args = [...address, ...store, ...quiet]
  const { pid, stop } = await startServer({ command: join(home(tools), 'tusd'), args, port, env })
  return { url: `http://127.0.0.1:${port}/files`, roots: [pid], database: [], stop }
}
