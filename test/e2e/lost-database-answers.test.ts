import type { Knex } from 'knex'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { connect } from '../../stores/postgres/database.js'
import type { CuttingProxy } from '../support/cutting-proxy.js'
import { openDatabaseProxy } from '../support/database-proxy.js'
import { at, create, createPart, downloadedDigest, head, openPatch, patch, send } from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { idOf, ServerGroup } from '../support/server-group.js'
import type { ServerProcess } from '../support/server-process.js'

const KIB = 1024
const LENGTH = 400 * KIB

/*
 * A connection to the database that breaks while a statement runs leaves the server in doubt: the statement may still
 * be carried out. A lock holds it up here until the connection is cut, so that it surely is, and nobody hears of it.
 */

let group: ServerGroup
let proxy: CuttingProxy
let server: ServerProcess
let other: ServerProcess
let knex: Knex

beforeAll(async () => {
  group = await ServerGroup.make()
  const way = await openDatabaseProxy()
  proxy = way.proxy
  server = await group.start(way.database)
  other = await group.start()
  knex = connect(inject('database'), 2)
})

afterAll(async () => {
  await knex?.destroy()
  await group?.end()
  await proxy?.close()
})

test.for(['same', 'other'] as const)(
  'a claim whose answer was lost keeps nobody out, asked through the %s server',
  async (where) => {
    const content = seededBytes(`claim ${where}`, LENGTH)
    const upload = await create(server.endpoint, LENGTH)
    const release = await lock(upload)
    const request = openPatch(upload, 0, LENGTH)
    await request.write(content.subarray(0, 100 * KIB))
    await cutDuring('claim_range', release)
    expect((await request.answer).status).toBe(503)
    await group.untilClaimed(upload)

    const here = at((where === 'same' ? server : other).endpoint, upload)
    const { status, headers } = await head(here)
    expect([status, headers['upload-offset']]).toEqual([200, '0'])
    expect((await patch(here, 0, content)).status).toBe(204)
    expect(await downloadedDigest(here)).toBe(sha256(content))
  },
)

test('bytes whose record was answered to nobody are there', async () => {
  const content = seededBytes('record', LENGTH)
  const upload = await create(server.endpoint, LENGTH)
  const request = openPatch(upload, 0, LENGTH)
  await request.write(content.subarray(0, 100 * KIB))
  await group.untilClaimed(upload)
  const release = await lock(upload)
  await request.write(content.subarray(100 * KIB))
  request.end()
  await cutDuring('record_range', release)
  expect([204, 409]).toContain((await request.answer).status)
  expect((await head(upload)).headers['upload-offset']).toBe(String(LENGTH))
  expect(await downloadedDigest(upload)).toBe(sha256(content))
})

test('a final whose making was answered to nobody is found by the same request', async () => {
  const parts: string[] = []
  for (const piece of ['one, ', 'two']) {
    const part = await createPart(server.endpoint, piece.length)
    expect((await patch(part, 0, Buffer.from(piece))).status).toBe(204)
    parts.push(part)
  }
  const headers = { 'Upload-Concat': `final;${parts.join(' ')}` }
  const release = await lock(parts[0] ?? '')
  const first = send(server.endpoint, { method: 'POST', headers })
  await cutDuring('concatenate', release)
  expect((await first).status).toBe(503)
  const finals = () => group.schema.run<{ id: string }>(`select id from $s.uploads where kind = 'final'`)
  await expect.poll(finals).toHaveLength(1)
  const made = (await finals())[0]?.id ?? ''
  const again = await send(server.endpoint, { method: 'POST', headers })
  expect([again.status, idOf(again.headers.location ?? '')]).toEqual([201, made])
  expect((await send(at(server.endpoint, made))).body).toBe('one, two')
})

test('connections to the database that die without a word are given up', async () => {
  const content = seededBytes('silence', LENGTH)
  const upload = await create(server.endpoint, LENGTH)
  const request = openPatch(upload, 0, LENGTH)
  await request.write(content.subarray(0, 100 * KIB))
  await group.untilClaimed(upload)
  proxy.cutAll('half-open')
  await request.write(content.subarray(100 * KIB))
  request.end()
  // As with every outage: it may have been recorded, or is to be asked for and sent again.
  expect([204, 409, 423, 503]).toContain((await request.answer).status)
  for (let offset = await patientOffset(upload); offset < LENGTH; offset = await patientOffset(upload)) {
    await patch(upload, offset, content.subarray(offset))
  }
  expect(await downloadedDigest(upload)).toBe(sha256(content))

  // The server is as it was: its heart beats, and it hears when somebody asks for what it holds.
  const held = await create(server.endpoint, LENGTH)
  const stale = openPatch(held, 0, LENGTH)
  await stale.write(content.subarray(0, 50 * KIB))
  await group.untilStored(held, 50 * KIB)
  const began = performance.now()
  expect((await head(at(other.endpoint, held))).headers['upload-offset']).toBe(String(50 * KIB))
  const took = performance.now() - began
  console.log(`hand-over after the silence: ${took.toFixed(0)} ms`)
  const alive = 'select count(*) from $s.nodes where lease_until > clock_timestamp()'
  await expect.poll(() => group.count(alive)).toBe(2)
})

/** What HEAD says in the end; 423 means that it is to be asked again. */
async function patientOffset(upload: string): Promise<number> {
  for (;;) {
    const { status, headers } = await head(upload)
    if (status === 200) return Number(headers['upload-offset'])
    expect(status).toBe(423)
  }
}

/** Holds up whatever needs the upload's row, until the returned function is called. */
async function lock(upload: string): Promise<() => Promise<void>> {
  const transaction = await knex.transaction()
  onTestFinished(async () => {
    if (!transaction.isCompleted()) await transaction.rollback()
  })
  await transaction.raw(`select from "${group.schema.name}".uploads where id = ? for update`, [idOf(upload)])
  return async () => {
    await transaction.commit()
  }
}

/** Cuts the server's connections while this function waits for the lock, and then lets it go. */
async function cutDuring(name: string, release: () => Promise<void>): Promise<void> {
  const waiting = () =>
    group.count(
      `select count(*) from pg_stat_activity
       where wait_event_type = 'Lock' and query like '%"${group.schema.name}".${name}%' and pid <> pg_backend_pid()`,
    )
  try {
    await expect.poll(waiting, { interval: 10 }).toBeGreaterThan(0)
    proxy.cutAll('rst')
  } finally {
    await release()
  }
}
