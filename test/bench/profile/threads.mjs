import { statFields, ticksOf, USER_HZ } from '../measure/proc-stat.mjs'

/** Seconds of processor time so far: of the main threads of processes, of all, and how much of all was the kernel's. */
export function threads(pids) {
  const main = pids.map((pid) => ticksOf(statFields(`/proc/${pid}/task/${pid}/stat`)))
  const all = pids.map((pid) => ticksOf(statFields(`/proc/${pid}/stat`)))
  return {
    main: seconds(main, ({ user, system }) => user + system),
    all: seconds(all, ({ user, system }) => user + system),
    kernel: seconds(all, ({ system }) => system),
  }
}

function seconds(list, ticks) {
  return list.reduce((sum, one) => sum + ticks(one), 0) / USER_HZ
}
