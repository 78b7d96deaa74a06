import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { measuresProcesses } from '../measure/process-tree.mjs'
import { shares } from './shares.mjs'
import { threads } from './threads.mjs'

/**
 * Has `turn` run once on a server that watches itself, and resolves with where its processor time went:
 * { each: { main, others }, busy, kernel, shares }; seconds a GiB or milliseconds a request, and parts of one. It is slower by the watching, so its
 * speed counts nowhere. Undefined where there is no /proc.
 */
export async function profiled(scratch, turn) {
  if (!measuresProcesses) return undefined
  const directory = await mkdtemp(join(scratch, 'profile-'))
  const watch = { nodeFlags: ['--cpu-prof', `--cpu-prof-dir=${directory}`], around }
  try {
    const { spent, begin, end, processes, ...sample } = await turn(watch)
    const busy = spent.main / processes / ((end - begin) / 1e6)
    return { ...times(spent, sample), busy, shares: await shares(directory, { begin, end }) }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function around({ roots }, work) {
  const [before, begin] = [threads(roots), microseconds()]
  const sample = await work()
  const [after, end] = [threads(roots), microseconds()]
  const spent = Object.fromEntries(Object.keys(after).map((name) => [name, after[name] - before[name]]))
  return { ...sample, spent, begin, end, processes: roots.length }
}

function times({ main, all, kernel }, { bytes, requests }) {
  const each = bytes ? 1024 ** 3 / bytes : 1000 / requests
  return { each: { main: main * each, others: (all - main) * each }, kernel: kernel / all }
}

/** The clock of the profile too: the machine's monotonic one. */
function microseconds() {
  return Number(process.hrtime.bigint() / 1000n)
}
