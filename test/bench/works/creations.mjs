import { wrk } from '../load/wrk.mjs'

const CONNECTIONS = 32

export const creations = {
  name: 'creations',
  title: `Small uploads: creation with 4 KiB, ${CONNECTIONS} connections`,
  notes:
    'wrk; an answer other than 201 is a failure. Before, each server does the same for some seconds that do not count.',
  unit: 'requests/s',
  better: 'more',
  profiles: true,
  needs: ['wrk'],
  // Until the end: ext4 gives out no inode that was freed in the last minutes, and to look past thousands of them made
  // creating a file take four times as long for whoever came next.
  keeps: true,
  sizes: { smoke: { warmUp: 1, seconds: 1 }, full: { warmUp: 5, seconds: 10 } },
  peers: ['tributary', 'tributary-strict', 'tusd', 'rustus', 'tus-server'],
  columns: { medianMs: 'median, ms', p99Ms: '99th percentile, ms' },

  /** Who runs for months is measured as it runs, not as it starts: Node compiles what it finds itself doing often. */
  async warm({ running, size: { warmUp } }) {
    await wrk('creations', running.url, { connections: CONNECTIONS, seconds: warmUp })
  },

  async measure({ running, size: { seconds } }) {
    const { requests, perSecond, medianMs, p99Ms } = await wrk('creations', running.url, {
      connections: CONNECTIONS,
      seconds,
    })
    return { value: perSecond, requests, extra: { medianMs, p99Ms } }
  },

  targets: [
    { peer: 'tributary', than: 'tus-server', atLeast: 3, says: 'creations of 4 KiB: 3 times @tus/server' },
    { peer: 'tributary', than: 'tusd', atLeast: 1, says: 'creations of 4 KiB: as many as tusd' },
  ],
}
