// A server that does nothing but own an embedded Postgres, for tests that kill it. What happens is printed as
// lines of JSON; the line "stop" on stdin ends it.
//
// node embedded-server.mjs <built embedded.js> <{ options, conditions }>
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [modulePath, argument] = process.argv.slice(2)
const { options, conditions, linger } = JSON.parse(argument)
const say = (event, facts) => process.stdout.write(`${JSON.stringify({ event, ...facts })}\n`)
const { startEmbeddedPostgres } = await import(pathToFileURL(modulePath).href)

try {
  const began = performance.now()
  const log = (message) => say('log', { message })
  const postgres = await startEmbeddedPostgres({ ...options, log }, conditions)
  const milliseconds = Math.round(performance.now() - began)
  say('started', { pid: postgres.pid, connection: postgres.connection, milliseconds })
  postgres.died.then((error) => say('died', { code: error.code, message: error.message }))
  if (linger) {
    for await (const line of createInterface({ input: process.stdin })) {
      if (line !== 'stop') continue
      await postgres.stop()
      say('stopped')
      break
    }
  }
} catch (error) {
  say('failed', { code: error.code, message: error.message })
} finally {
  process.stdin.destroy()
}
