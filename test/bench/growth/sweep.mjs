import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeDue } from './due.mjs'
import { headsFor, startHeads } from './heads.mjs'

const GLANCE_MS = 200
/** It does so each minute. */
const SWEEPS_WITHIN_MS = 90_000
const CONNECTIONS = 4

/**
 * Lets the server's own sweep end so many uploads, with heads going on meanwhile. Resolves with the seconds from the first upload to
 * the last file, and with the 99th percentiles of the heads before and meanwhile, in ms. After `patience` seconds it is not
 * waited for any longer, and the seconds are those.
 */
export async function sweepDue(running, database, { due: count, patience, seconds, list }) {
  const options = { list, connections: CONNECTIONS }
  const before = await headsFor(seconds, running, options)
  const due = await makeDue(database, count)
  if (!(await within(SWEEPS_WITHIN_MS, () => isExpired(database, due[0])))) throw new Error('no sweep began')
  const began = performance.now()
  const heads = await startHeads(running, options)
  const swept = await within(patience * 1000, () => isGone(database, due.at(-1)))
  const took = (performance.now() - began) / 1000
  const meanwhile = await heads.stop()
  if (swept && due.some(({ file }) => existsSync(file))) throw new Error('the sweep left files behind')
  return { seconds: took, before: before.p99, meanwhile: meanwhile.p99 }
}

async function isExpired({ client, s }, { id }) {
  const { rows } = await client.query(`select from ${s}.uploads where id = $1 and status = 'expired'`, [id])
  return rows.length > 0
}

/** The row of a blob goes last, after its file. */
async function isGone({ client, s }, { blob }) {
  const { rows } = await client.query(`select from ${s}.blobs where id = $1`, [blob])
  return rows.length === 0
}

async function within(milliseconds, look) {
  const deadline = performance.now() + milliseconds
  while (performance.now() < deadline) {
    if (await look()) return true
    await sleep(GLANCE_MS)
  }
  return false
}
