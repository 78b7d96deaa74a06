import { statFields, ticksOf, USER_HZ } from '../measure/proc-stat.mjs'

/** Seconds of processor time so far: of the main thread of a process, of all, and how much of all was the kernel's. */
export function threads(pid) {
  const main = ticksOf(statFields(`/proc/${pid}/task/${pid}/stat`))
  const all = ticksOf(statFields(`/proc/${pid}/stat`))
  return {
    main: (main.user + main.system) / USER_HZ,
    all: (all.user + all.system) / USER_HZ,
    kernel: all.system / USER_HZ,
  }
}
