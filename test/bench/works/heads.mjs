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
    'ratios are nearer to 1 than those of the servers alone; the CPU time says more.',
  unit: 'requests/s',
  better: 'more',
  profiles: true,
  needs: ['curl'],
  sizes: { smoke: { each: 20 }, full: { each: 600 } },
  peers: ['tributary', 'tributary-strict', 'tusd', 'rustus', 'tus-server'],

  async measure({ running, size: { each }, files }) {
    const upload = { length: BYTES, file: await files.random(BYTES) }
    const uploads = await createAll(running.url, Array(UPLOADS).fill(upload))
    const { requests, seconds } = await ask(uploads, { connections: CONNECTIONS, each })
    return { value: requests / seconds, requests }
  },

  targets: [
    { peer: 'tributary', than: 'tus-server', atLeast: 5, says: 'HEAD: 5 times @tus/server' },
    { peer: 'tributary', than: 'tusd', atLeast: 1, says: 'HEAD: as many as tusd' },
  ],
}
