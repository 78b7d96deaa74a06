import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../../dist/src/main.js', import.meta.url))
const READY = /ready at (\S+)\n/

/** Starts Tributary and ends it again. Resolves with the seconds from the start of its process to the line that says it is ready. */
export async function boot(settings) {
  const { PATH, HOME } = process.env
  const began = performance.now()
  const server = spawn(process.execPath, [MAIN, 'serve'], {
    env: { PATH, HOME, PORT: '0', ...settings },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(server, 'close')
  try {
    await untilReady(server)
    return (performance.now() - began) / 1000
  } finally {
    server.kill('SIGTERM')
    await closed
  }
}

function untilReady(server) {
  let said = ''
  return new Promise((resolve, reject) => {
    server.stdout.setEncoding('utf8').on('data', (text) => {
      said += text
      if (READY.test(said)) resolve()
    })
    server.stderr.setEncoding('utf8').on('data', (text) => {
      said += text
    })
    server.once('close', (code) => reject(new Error(`the server ended with ${code}: ${said.slice(-1000)}`)))
    server.once('error', reject)
  })
}
