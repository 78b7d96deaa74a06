import { inBulk } from './in-bulk.mjs'
import { rowsOf } from './rows.mjs'

const TABLES = ['uploads', 'received', 'blobs', 'extents', 'parts', 'publications', 'digests']

/** Fills a database with so many uploads and at least so many ranges, and leaves it as autovacuum would have after a while. */
export async function fill(database, { uploads, ranges }) {
  const { client, s } = database
  await withRoomForLogs(database, () =>
    inBulk(database, async () => {
      for (const statement of rowsOf(s, uploads, ranges)) await client.query(statement)
    }),
  )
  await client.query(`vacuum (analyze) ${TABLES.map((table) => `${s}.${table}`).join(', ')}`)
}

/** The embedded database is set up for small logs, and would pause for a checkpoint at every 32 MB of them. */
async function withRoomForLogs({ client, embedded }, work) {
  if (!embedded) return work()
  await client.query("alter system set max_wal_size = '8GB'")
  await client.query('select pg_reload_conf()')
  try {
    await work()
  } finally {
    await client.query('alter system reset max_wal_size')
    await client.query('select pg_reload_conf()')
    await client.query('checkpoint')
  }
}
