import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { kindOf } from './kinds.mjs'

/** Node names its profiles CPU.<date>.<time>.<pid>.<thread>.<number>.cpuprofile; the main thread is 0. */
const MAIN_THREAD = /\.0\.\d+\.cpuprofile$/

/**
 * What the main threads did between two moments (microseconds of the monotonic clock), from the profiles they wrote into `directory` as
 * they ended: { kind: share }, of the time in which they were not idle, greatest first.
 */
export async function shares(directory, moments) {
  const names = (await readdir(directory)).filter((file) => MAIN_THREAD.test(file))
  if (names.length === 0) throw new Error('the server left no profile behind')
  const spent = new Map()
  for (const name of names) {
    const profile = JSON.parse(await readFile(join(directory, name), 'utf8'))
    addSpent(spent, profile, moments)
  }
  spent.delete('idle')
  const all = [...spent.values()].reduce((sum, time) => sum + time, 0)
  const sorted = [...spent].sort(([, a], [, b]) => b - a)
  return Object.fromEntries(sorted.map(([kind, time]) => [kind, time / all]))
}

function addSpent(spent, { nodes, samples, timeDeltas, startTime }, { begin, end }) {
  const kinds = kindsOf(nodes)
  let now = startTime
  for (const [index, node] of samples.entries()) {
    const delta = timeDeltas[index]
    now += delta
    if (now < begin || now > end) continue
    const kind = kinds.get(node)
    spent.set(kind, (spent.get(kind) ?? 0) + delta)
  }
}

/** By node id. Callers stand before those they call. */
function kindsOf(nodes) {
  const callers = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])))
  const kinds = new Map()
  for (const { id, callFrame } of nodes) kinds.set(id, kindOf(callFrame, kinds.get(callers.get(id))))
  return kinds
}
