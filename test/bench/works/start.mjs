import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { reach, urlOf } from '../growth/database.mjs'
import { boot } from '../load/boot.mjs'

export const start = {
  name: 'start',
  title: 'Starts: from `node dist/src/main.js serve` to its line that it is ready',
  notes:
    'The external database is one that runs already and has none of the tables yet. The first embedded start makes a database.',
  unit: 's',
  better: 'less',
  // It starts servers itself: that is what it measures.
  bare: true,
  sizes: { smoke: {}, full: {} },
  peers: [
    { as: 'external', peer: 'tributary', title: 'Tributary, external database' },
    { as: 'first', peer: 'tributary', title: 'Tributary, first start of the embedded database' },
    { as: 'later', peer: 'tributary', title: 'Tributary, later start of it' },
  ],

  async measure({ lane, peer, tools, directory }) {
    return { value: await SECONDS[lane.as](directory, peer, tools) }
  },

  targets: [
    { peer: 'external', atMost: 1.5, says: 'start on an external database: 1.5 s' },
    { peer: 'first', atMost: 4, says: 'first start of the embedded database: 4 s' },
    { peer: 'later', atMost: 2, says: 'later start of it: 2 s' },
  ],
}

const SECONDS = {
  external: onDatabaseOfAnother,
  first: (directory) => boot({ DATA_DIR: directory }),
  later: async (directory) => {
    await boot({ DATA_DIR: directory })
    return boot({ DATA_DIR: directory })
  },
}

/** Whatever database the peer has, embedded or not, is an external one to a second server. */
async function onDatabaseOfAnother(directory, peer, tools) {
  const other = await peer.start({ tools, directory: join(directory, 'other') })
  try {
    const { client } = await reach(other)
    const schema = `bench_${randomBytes(6).toString('hex')}`
    try {
      const database = { DATABASE_URL: urlOf(client), DATABASE_SCHEMA: schema }
      return await boot({ DATA_DIR: join(directory, 'own'), ...database })
    } finally {
      await client.query(`drop schema if exists ${schema} cascade`)
      await client.end()
    }
  } finally {
    await other.stop()
  }
}
