import { randomUUID } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { program } from '../load/program.mjs'
import { inBulk } from './in-bulk.mjs'

/**
 * Uploads whose time is over, each with a range, an extent and a file of its own. The next sweep ends them in the order
 * they are returned in.
 */
export async function makeDue(database, count) {
  const { client, s, dataDir } = database
  const { rows } = await client.query(`select max(epoch) as epoch from ${s}.nodes`)
  const { epoch } = rows[0]
  const due = Array.from({ length: count }, () => newUpload(join(dataDir, 'blobs', epoch)))
  await makeFiles(due.map(({ file }) => file))
  const [ids, blobs] = [due.map(({ id }) => id), due.map(({ blob }) => blob)]
  await inBulk(database, async () => {
    await client.query(
      `insert into ${s}.blobs (id, epoch) select blob, $2::bigint from unnest($1::uuid[]) blob`,
      [blobs, epoch],
    )
    await client.query(
      `insert into ${s}.uploads (id, kind, protocol, length, created_at, expires_at)
       select id, 'whole', 'tus', 1048576, now() - interval '25 hours', now() - interval '1 hour' + n * interval '1 ms'
       from unnest($1::uuid[]) with ordinality due(id, n)`,
      [ids],
    )
    await client.query(
      `insert into ${s}.extents (upload_id, start, blob_id, blob_offset)
       select id, 0, blob, 0 from unnest($1::uuid[], $2::uuid[]) due(id, blob)`,
      [ids, blobs],
    )
    await client.query(
      `insert into ${s}.received (upload_id, start, stop) select id, 0, 65536 from unnest($1::uuid[]) id`,
      [ids],
    )
  })
  return due
}

function newUpload(directory) {
  const blob = randomUUID()
  return { id: randomUUID(), blob, file: join(directory, blob.slice(0, 2), blob) }
}

/** Empty: it is the number of names that makes removing them long. */
async function makeFiles(files) {
  for (const fanOut of new Set(files.map(dirname))) mkdirSync(fanOut, { recursive: true })
  const input = files.map((file) => `"${file}"`).join('\n')
  const { code, stderr } = await program('xargs', ['touch'], { input })
  if (code !== 0) throw new Error(`files cannot be made: ${stderr}`)
}
