import { setTimeout as sleep } from 'node:timers/promises'

/** Small by nature, and read as a whole because that is the shortest way: what is under way at this moment. */
const SMALL = ['nodes', 'claims', 'assemblies', 'locks', 'migrations']

/** PostgreSQL's sessions hand in what they counted after ten idle seconds at the latest. */
const COUNTED_MS = 11_000

/** How many rows sequential scans have read so far, of each table that grows. */
export async function scannedRows({ client, schema }) {
  await sleep(COUNTED_MS)
  const { rows } = await client.query(
    `select relname as table, seq_tup_read::float8 as scanned from pg_stat_user_tables
     where schemaname = $1 and relname <> all($2)`,
    [schema, SMALL],
  )
  return Object.fromEntries(rows.map(({ table, scanned }) => [table, scanned]))
}
