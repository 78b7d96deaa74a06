import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { silent } from '../../src/upload/log.js'
import { connect, Database } from '../../stores/postgres/database.js'
import { Signals } from '../../stores/postgres/signals.js'
import type { CuttingProxy } from '../support/cutting-proxy.js'
import { openDatabaseProxy } from '../support/database-proxy.js'
import type { DatabaseSettings } from '../support/server-process.js'

/** What may take this long does not wait for TCP. */
const SOON_MS = 5_000

let proxy: CuttingProxy
let settings: DatabaseSettings
/** Past the proxy. */
let database: Database
let signals: Signals

beforeEach(async () => {
  const opened = await openDatabaseProxy()
  proxy = opened.proxy
  settings = opened.database
  database = new Database(connect(inject('database'), 2), `t_${randomBytes(6).toString('hex')}`)
  signals = new Signals(settings, database, silent)
})

afterEach(async () => {
  await proxy.close()
  await signals.close()
  await database.knex.destroy()
})

test('what is closed while it connects again leaves no connection', async () => {
  await signals.open()
  const { connections } = proxy
  proxy.cutAll('rst')
  // The connection begins to be made, which takes a few answers of the database.
  while (proxy.connections === connections) await new Promise((resolve) => setImmediate(resolve))
  await signals.close()
  await sleep(1_000)
  expect([await listeners(), signals.listening]).toEqual([0, false])
})

test('what is closed while it connects to a silent network leaves no socket', async () => {
  await signals.open()
  const { connections } = proxy
  proxy.follow(() => ({ at: { sent: 1 }, how: 'half-open' }))
  proxy.cutAll('rst')
  await expect.poll(() => proxy.connections).toBeGreaterThan(connections)
  const open = sockets()
  await signals.close()
  await expect.poll(sockets, { timeout: 1_000 }).toBeLessThan(open)
})

test('a silent network does not hold up the end', async () => {
  await signals.open()
  proxy.cutAll('half-open')
  const open = sockets()
  expect(await settles(signals.close(), SOON_MS)).toBe(true)
  expect(sockets()).toBeLessThan(open)
})

test('an answer to LISTEN that never comes is not waited for without end', async () => {
  const before = await sentBeforeListening()
  proxy.follow(() => ({ at: { answerLostAfter: before + 1 }, how: 'half-open' }))
  const opening = signals.open()
  const failed = expect(opening).rejects.toThrow('Query read timeout')
  // The statement arrived, and only its answer was lost.
  await expect.poll(listeners).toBe(1)
  expect(await settles(failed, 3 * SOON_MS)).toBe(true)
})

/** Connections that listen for what is said here, as the database knows them. */
async function listeners(): Promise<number> {
  const rows = await database.rows('listeners', 'select from pg_stat_activity where query = ?', [
    `listen "${database.channel}"`,
  ])
  return rows.length
}

function sockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap').length
}

function settles(work: Promise<unknown>, milliseconds: number): Promise<boolean> {
  const settled = work.then(() => true)
  return Promise.race([
    settled,
    new Promise<boolean>((resolve) => setTimeout(() => resolve(false), milliseconds).unref()),
  ])
}

/** How many bytes a listener sends until it is connected. */
async function sentBeforeListening(): Promise<number> {
  const client = new pg.Client({ ...settings, application_name: 'tributary listener' })
  await client.connect()
  const { bytesWritten } = client.connection.stream as { bytesWritten?: number }
  await client.end()
  if (bytesWritten === undefined) throw new Error('the stream counts nothing')
  return bytesWritten
}
