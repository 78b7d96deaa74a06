import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('heads.lua', import.meta.url))
/** wrk wants to know an end; it is told before. */
const LONG = '3600s'

/** Asks for uploads by HEAD, so many seconds. Resolves with { median, p99, most } in ms. */
export async function headsFor(seconds, running, options) {
  const { stop } = await startHeads(running, options)
  await sleep(seconds * 1000)
  return stop()
}

/** The same until `stop` is called, which then resolves. `list` names a file with a path in each line. */
export async function startHeads({ url }, { list, connections }) {
  const args = [
    '--threads',
    '1',
    '--connections',
    String(connections),
    '--duration',
    LONG,
    '--timeout',
    '10s',
  ]
  const wrk = spawn('wrk', [...args, '--script', SCRIPT, url, '--', list], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const closed = once(wrk, 'close')
  const output = Promise.all([text(wrk.stdout), text(wrk.stderr)])
  await once(wrk, 'spawn')
  return {
    stop: async () => {
      wrk.kill('SIGINT')
      await closed
      return figures(await output)
    },
  }
}

export async function writeList(file, urls) {
  await writeFile(file, urls.map((url) => `${new URL(url).pathname}\n`).join(''))
  return file
}

function figures([stdout, stderr]) {
  const line = /^\{.*\}$/m.exec(stdout)?.[0]
  if (line === undefined) throw new Error(`wrk said nothing of use: ${stderr}${stdout}`)
  const { failed, requests, ...times } = JSON.parse(line)
  if (failed > 0) throw new Error(`${failed} of ${requests} requests failed`)
  if (requests === 0) throw new Error('there was no answer at all')
  return times
}
