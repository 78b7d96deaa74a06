import { figure } from './figure.mjs'

/** The table of a work's profiles: { heads, rows }, a column for each lane that has one. Undefined where none has. */
export function profileTable({ lanes }) {
  const seen = lanes.filter(({ profile }) => profile !== undefined)
  if (seen.length === 0) return undefined
  const per = seen[0].samples.some((sample) => sample?.bytes) ? 's/GiB' : 'ms a request'
  const row = (head, cell) => [head, ...seen.map(({ profile }) => cell(profile))]
  const kinds = [...new Set(seen.flatMap(({ profile }) => Object.keys(profile.shares)))]
  return {
    heads: ['', ...seen.map(({ title }) => title)],
    rows: [
      row(`main thread, ${per}`, ({ each }) => figure(each.main)),
      row(`other threads, ${per}`, ({ each }) => figure(each.others)),
      row('main thread busy, of the time', ({ busy }) => percent(busy)),
      row('of both in the kernel', ({ kernel }) => percent(kernel)),
      ...kinds.map((kind) => row(`main thread: ${kind}`, ({ shares }) => percent(shares[kind] ?? 0))),
    ],
  }
}

function percent(share) {
  return `${figure(share * 100)} %`
}
