import { heads as ask } from '../load/heads.mjs'
import { createAll } from '../load/tus.mjs'

const CONNECTIONS = 32
const UPLOADS = 64
const BYTES = 4096

export const heads = {
  name: 'heads',
  title: `HEAD of ${UPLOADS} uploads in turn, ${CONNECTIONS} connections`,
  notes:
    'A curl process a connection, because wrk cannot read answers to HEAD. curl works about as hard as the fastest server, so that ' +
    'ratios are nearer to 1 than those of the servers alone; the CPU time says more. Before, each server answers half as many that do not count.',
  unit: 'requests/s',
  better: 'more',
  profiles: true,
  needs: ['curl'],
  sizes: { smoke: { each: 20 }, full: { each: 1000 } },
  peers: ['tributary', 'tributary-strict', 'tusd', 'rustus', 'tus-server'],

  /** As with creations: not as it starts. */
  async warm({ size: { each }, ...given }) {
    await askOften(given, each / 2)
  },

  async measure({ size: { each }, ...given }) {
    const { requests, seconds } = await askOften(given, each)
    return { value: requests / seconds, requests }
  },

  targets: [
    { peer: 'tributary', than: 'tus-server', atLeast: 5, says: 'HEAD: 5 times @tus/server' },
    { peer: 'tributary', than: 'tusd', atLeast: 1, says: 'HEAD: as many as tusd' },
  ],
}

async function askOften({ running, files }, each) {
  const upload = { length: BYTES, file: await files.random(BYTES) }
  const uploads = await createAll(running.url, Array(UPLOADS).fill(upload))
  return ask(uploads, { connections: CONNECTIONS, each })
}
