import { fileURLToPath } from 'node:url'
import { program } from './program.mjs'

/** One thread is enough to keep any of the servers busy, and leaves them the other cores. */
const THREADS = 1

/**
 * Runs wrk with the script of that name beside this file. The scripts print one line of JSON at the end. Rejects when an answer
 * was not what the script expects, or did not come.
 */
export async function wrk(script, url, { connections, seconds, args = [] }) {
  const path = fileURLToPath(new URL(`${script}.lua`, import.meta.url))
  const { code, stdout, stderr } = await program('wrk', [
    ...['--threads', String(THREADS), '--connections', String(connections), '--duration', `${seconds}s`],
    ...['--timeout', '10s', '--script', path, url, '--', ...args],
  ])
  const line = /^\{.*\}$/m.exec(stdout)?.[0]
  if (code !== 0 || line === undefined) throw new Error(`wrk ended with ${code}: ${stderr}${stdout}`)
  const { wrong, example, broken, requests, duration, median, p99 } = JSON.parse(line)
  if (wrong > 0)
    throw new Error(`${wrong} of ${requests} requests were answered wrongly, one with ${example}`)
  if (broken > 0) throw new Error(`${broken} of ${requests} requests had no answer`)
  if (requests === 0) throw new Error('there was no answer at all')
  return { requests, perSecond: requests / duration, medianMs: median, p99Ms: p99 }
}
