import { setTimeout as sleep } from 'node:timers/promises'

const GLANCE_MS = 100

/**
 * Resolves with the most uploads that were seen under way at the same moment while `work` went on: claimed by a request, with some bytes
 * received already.
 */
export async function mostUnderWay({ client, s }, work) {
  let most = 0
  let over = false
  const watch = async () => {
    while (!over) {
      const { rows } = await client.query(
        `select count(*)::int as count from ${s}.claims join ${s}.received using (upload_id)`,
      )
      most = Math.max(most, rows[0].count)
      await sleep(GLANCE_MS)
    }
  }
  const watching = watch()
  try {
    await work()
  } finally {
    over = true
    await watching
  }
  return most
}
