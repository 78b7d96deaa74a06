/** One transaction for rows that are known to fit each other: nobody looks up what they refer to, where that can be had. */
export async function inBulk({ client, embedded }, work) {
  await client.query('begin')
  if (embedded) await client.query("set local session_replication_role = 'replica'")
  await work()
  await client.query('commit')
}
