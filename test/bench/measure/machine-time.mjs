import { readFileSync } from 'node:fs'
import { statFields, ticksOf, USER_HZ } from './proc-stat.mjs'

/**
 * Seconds so far, of all processors together, in which the machine was busy, and in which its host kept it waiting (steal); and the
 * processor time of this process's children that have ended, which are those that make the load. Servers end after the window that is
 * looked at.
 */
export function machineTime() {
  const [, user, nice, system, idle, iowait, irq, softirq, steal] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .split(/\s+/)
    .map(Number)
  const busy = user + nice + system + irq + softirq
  return {
    busy: busy / USER_HZ,
    steal: steal / USER_HZ,
    all: (busy + idle + iowait + steal) / USER_HZ,
    load: ticksOf(statFields('/proc/self/stat')).children / USER_HZ,
  }
}
