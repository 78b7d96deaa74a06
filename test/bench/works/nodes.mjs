import { uploadInParts } from '../load/in-parts.mjs'
import { wrk } from '../load/wrk.mjs'
import { usage } from '../measure/process-tree.mjs'

const MIB = 1024 * 1024
const PARTS = 8
const CONNECTIONS = 32

const PEERS = [
  { as: 'tributary', peer: 'one-node' },
  { as: 'three', peer: 'three-nodes' },
]
const PINNED =
  'The nodes, their database and HAProxy, which sends each request to the next node, have half of the cores; the load and the S3 server the other half.'

export const nodesParts = {
  name: 'nodes-parts',
  title: ({ bytes }) =>
    `Three nodes against one: ${PARTS} parts of ${bytes / MIB} MiB at once, and the final`,
  notes: PINNED,
  unit: 'MiB/s',
  better: 'more',
  profiles: true,
  needs: ['curl'],
  fills: ({ bytes }) => 3 * PARTS * bytes,
  sizes: { smoke: { bytes: 8 * MIB }, full: { bytes: 128 * MIB } },
  peers: PEERS,
  columns: { finalMs: 'final alone, ms', balancer: 'HAProxy: CPU, s/GiB' },

  async measure({ running, size: { bytes }, files }) {
    const file = await files.random(bytes)
    const { seconds, sample } = await balanced(running, () => uploadInParts(running.url, file, bytes, PARTS))
    return { ...sample, extra: { ...sample.extra, balancer: seconds / (sample.bytes / 1024 ** 3) } }
  },

  targets: [],
}

export const nodesCreations = {
  name: 'nodes-creations',
  title: `Three nodes against one: creation with 4 KiB, ${CONNECTIONS} connections`,
  notes: PINNED,
  unit: 'requests/s',
  better: 'more',
  profiles: true,
  needs: ['wrk'],
  sizes: { smoke: { warmUp: 1, seconds: 1 }, full: { warmUp: 5, seconds: 10 } },
  peers: PEERS,
  columns: { medianMs: 'median, ms', p99Ms: '99th percentile, ms', balancer: 'HAProxy: CPU, ms a request' },

  async warm({ running, size: { warmUp } }) {
    await wrk('creations', running.url, { connections: CONNECTIONS, seconds: warmUp })
  },

  async measure({ running, size: { seconds } }) {
    const load = { connections: CONNECTIONS, seconds }
    const { seconds: spent, sample } = await balanced(running, () => wrk('creations', running.url, load))
    const { requests, perSecond, medianMs, p99Ms } = sample
    return { value: perSecond, requests, extra: { medianMs, p99Ms, balancer: (1000 * spent) / requests } }
  },

  targets: [],
}

/** The sample of `work`, and the seconds of processor time that the balancer took for it. */
async function balanced({ balancer }, work) {
  const before = usage(balancer).cpuSeconds
  const sample = await work()
  return { sample, seconds: usage(balancer).cpuSeconds - before }
}
