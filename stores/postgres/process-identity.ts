import { randomUUID } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'

/**
 * Who a node is, in terms by which another process of the same machine can prove it dead. `place` names a space of
 * pids (boot and pid namespace); null where the platform tells none, and then only the lease says anything.
 */
export interface ProcessIdentity {
  readonly place: string | null
  readonly pid: number
  /** Start time of the process in clock ticks since boot: a pid alone may have been given out again. */
  readonly started: string | null
  readonly nonce: string
}

export function thisProcess(): ProcessIdentity {
  return { place: placeOfPids(), pid: process.pid, started: startOf(process.pid), nonce: randomUUID() }
}

/** True only where it is certain: same space of pids, and that process is not there any more. */
export function isProvedDead(other: ProcessIdentity, self: ProcessIdentity): boolean {
  if (other.place === null || other.place !== self.place || other.nonce === self.nonce) return false
  return startOf(other.pid) !== other.started
}

/** proc(5): boot_id changes with each boot, and a pid namespace has an inode of its own. */
function placeOfPids(): string | null {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return null // no procfs: nothing can be proved here, leases decide
  }
}

/** Field 22 of /proc/<pid>/stat, counted after the parenthesised name; null when there is no such process. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // A zombie has ended: it writes no more.
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null)
  } catch {
    return null // gone
  }
}
