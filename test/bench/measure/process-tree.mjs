import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { statFields, ticksOf, USER_HZ } from './proc-stat.mjs'

/** Elsewhere there is no /proc, and figures of processes are left out. */
export const measuresProcesses = process.platform === 'linux'

/**
 * CPU seconds so far of everything below `roots`, without what is below `apart`, children that have ended and were waited for
 * included, and the peaks of resident memory, summed. Shared memory and the pages of program files count once, or the processes of PostgreSQL
 * would seem to have a set of its buffers each; pages that were the same after a fork still count for each.
 */
export function usage(roots, apart = []) {
  const processes = below(roots, apart)
  const memory = processes.map(({ pid }) => memoryKiB(pid))
  const shared = ['files', 'shared'].map((kind) => Math.max(0, ...memory.map((one) => one[kind])))
  return {
    cpuSeconds: sum(processes.map(({ ticks }) => ticks)) / USER_HZ,
    peakMiB:
      sum([...memory.map(({ peak, files, shared }) => Math.max(0, peak - files - shared)), ...shared]) / 1024,
  }
}

/** From here on peaks are those of the work, not those of the start. */
export function forgetPeaks(roots) {
  for (const { pid } of below(roots)) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, '5')
    } catch {
      // It has ended, or belongs to another user: its peak is then that of its whole life.
    }
  }
}

export function isRunning(pid) {
  if (measuresProcesses) return !['Z', 'X', undefined].includes(stat(pid)?.state)
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function below(roots, apart = []) {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && !apart.includes(Number(name)))
    .map((name) => stat(Number(name)))
    .filter((one) => one !== undefined)
  const found = all.filter(({ pid }) => roots.includes(pid))
  for (const parent of found) found.push(...all.filter(({ ppid }) => ppid === parent.pid))
  return [...new Set(found)]
}

/** Undefined for a process that has ended meanwhile. */
function stat(pid) {
  try {
    const fields = statFields(`/proc/${pid}/stat`)
    const [state, ppid] = fields
    const { user, system, children } = ticksOf(fields)
    return { pid, ppid: Number(ppid), state, ticks: user + system + children }
  } catch {
    return undefined
  }
}

function memoryKiB(pid) {
  const status = read(`/proc/${pid}/status`) ?? ''
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0)
  return { peak: field('VmHWM'), files: field('RssFile'), shared: field('RssShmem') }
}

/** Undefined for a process that has ended meanwhile. */
function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0)
}
