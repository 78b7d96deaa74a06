import { readFileSync } from 'node:fs'

const USER_HZ = 100

/** Seconds of processor time so far: of the main thread of a process, of all, and how much of all was the kernel's. */
export function threads(pid) {
  const main = ticks(`/proc/${pid}/task/${pid}/stat`)
  const all = ticks(`/proc/${pid}/stat`)
  return {
    main: (main.user + main.system) / USER_HZ,
    all: (all.user + all.system) / USER_HZ,
    kernel: all.system / USER_HZ,
  }
}

function ticks(path) {
  const text = readFileSync(path, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { user: Number(fields[11]), system: Number(fields[12]) }
}
