import { readFileSync } from 'node:fs'

const USER_HZ = 100

/**
 * Seconds so far, of all processors together, in which the machine was busy, and in which its host kept it waiting (steal); and the
 * processor time of this process's children that have ended, which are those that make the load. Servers end after the window that is
 * looked at.
 */
export function machineTime() {
  const [, user, nice, system, idle, iowait, irq, softirq, steal] = read('/proc/stat')
    .split('\n', 1)[0]
    .split(/\s+/)
    .map(Number)
  const own = read('/proc/self/stat')
  const fields = own.slice(own.lastIndexOf(')') + 2).split(' ')
  const busy = user + nice + system + irq + softirq
  return {
    busy: busy / USER_HZ,
    steal: steal / USER_HZ,
    all: (busy + idle + iowait + steal) / USER_HZ,
    load: (Number(fields[13]) + Number(fields[14])) / USER_HZ,
  }
}

function read(path) {
  return readFileSync(path, 'utf8')
}
