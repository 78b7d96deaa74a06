/**
 * How fast one thread of HashThreads hashes, against node:crypto in the main thread, and how long either kept the main
 * thread's event loop from anything else at most. Blocks are made as prefix digests make them: one copy each. Needs a
 * build.
 *
 *   node test/bench/prefix-digest.mjs [MiB per run] [rounds]
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate as turn } from 'node:timers/promises'
import { createHasher } from '../../dist/src/upload/digest.js'
import { HashThreads } from '../../dist/src/upload/hash-threads.js'

const MIB = 1024 * 1024
const [mib = '512', rounds = '5'] = process.argv.slice(2)
const source = Buffer.alloc(MIB, 'tributary ')
const threads = new HashThreads({ most: 1 })
// Threads keep no process alive, and nothing else happens here.
const alive = setInterval(() => undefined, 60_000)

function block() {
  const bytes = Buffer.allocUnsafeSlow(MIB)
  source.copy(bytes)
  return bytes
}

const ways = {
  main: async (algorithm) => {
    const hasher = createHasher(algorithm)
    for (let count = 0; count < Number(mib); count++) {
      hasher.update(block())
      // As after each read: whatever else waits has its turn.
      await turn()
    }
    return hasher.digest()
  },
  thread: async (algorithm) => {
    const hasher = threads.open(algorithm)
    for (let count = 0; count < Number(mib); count++) await hasher.update(block())
    return hasher.digest()
  },
}

async function measure(way, algorithm) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const { user, system } = process.cpuUsage()
  delay.enable()
  const started = performance.now()
  const idle = performance.eventLoopUtilization()
  const { bytes } = await ways[way](algorithm)
  const seconds = (performance.now() - started) / 1000
  const { utilization } = performance.eventLoopUtilization(idle)
  delay.disable()
  const cpu = process.cpuUsage({ user, system })
  return {
    digest: bytes.toString('hex'),
    rate: (Number(mib) * MIB) / 1e6 / seconds,
    blocked: delay.max / 1e6,
    utilization,
    cpu: (cpu.user + cpu.system) / 1e6 / ((Number(mib) * MIB) / 1e9),
  }
}

for (const algorithm of ['md5', 'sha256', 'sha3_512', 'blake2b']) {
  const runs = { main: [], thread: [] }
  for (let round = 0; round <= Number(rounds); round++) {
    for (const way of round % 2 === 0 ? ['main', 'thread'] : ['thread', 'main']) {
      const run = await measure(way, algorithm)
      // The first round warms up.
      if (round > 0) runs[way].push(run)
    }
  }
  const digests = new Set([...runs.main, ...runs.thread].map(({ digest }) => digest))
  if (digests.size !== 1) throw new Error(`${algorithm}: the digests differ`)
  for (const [way, each] of Object.entries(runs)) {
    const rates = each.map(({ rate }) => rate)
    const blocked = Math.max(...each.map((run) => run.blocked))
    const busy = median(each.map(({ utilization }) => utilization))
    console.log(
      `${algorithm.padEnd(8)} ${way.padEnd(6)} median ${Math.round(median(rates))} MB/s ` +
        `(${rates.map((rate) => Math.round(rate)).join(' ')}), event loop blocked ${blocked.toFixed(1)} ms at most, ` +
        `busy ${Math.round(busy * 100)} %, ${median(each.map(({ cpu }) => cpu)).toFixed(2)} CPU s/GB`,
    )
  }
}
console.log(`RSS at the end: ${Math.round(process.memoryUsage.rss() / MIB)} MiB`)
await threads.close()
clearInterval(alive)

function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]
}
