import pg from 'pg'
import { expect, test } from 'vitest'
import { isAlive } from '../../stores/postgres/embedded/process-table.js'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../stores/postgres/embedded.js'
import { builtDist } from '../support/built.js'
import { EmbeddedChild } from '../support/embedded-child.js'
import { scratchDirectory } from '../support/embedded-scratch.js'

const OWNER = "application_name LIKE 'tributary owner %'"

async function connect(connection: EmbeddedPostgres['connection']): Promise<pg.Client> {
  const client = new pg.Client(connection)
  client.on('error', () => undefined)
  await client.connect()
  return client
}

/** Resolves when the owner lock is held by another backend than `before`. */
async function ownerOtherThan(client: pg.Client, before: number): Promise<number> {
  const sql = `SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
                WHERE locktype = 'advisory' AND granted AND ${OWNER}`
  const { rows } = await client.query<{ pid: number }>(sql)
  const pid = rows[0]?.pid
  return pid === undefined || pid === before ? ownerOtherThan(client, before) : pid
}

async function somebodyWaits(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM pg_locks WHERE NOT granted')
  if (rowCount === 0) await somebodyWaits(client)
}

test('a second server is refused with the pid of the first', async () => {
  const directory = await scratchDirectory()
  const owner = new EmbeddedChild({ dist: await builtDist(), directory })
  await owner.started()
  const second = startEmbeddedPostgres({ directory })
  await expect(second).rejects.toMatchObject({
    code: 'data_directory_in_use',
    message: `DATA_DIR is in use by pid ${owner.pid}; give DATABASE_URL to run several servers`,
  })
  await owner.stop()
})

test('a refused server leaves the database to its owner', async () => {
  const directory = await scratchDirectory()
  const postgres = await startEmbeddedPostgres({ directory })
  const other = new EmbeddedChild({ dist: await builtDist(), directory })
  const { event, message } = await other.event('started', 'failed')
  expect([event, message]).toEqual([
    'failed',
    `DATA_DIR is in use by pid ${process.pid}; give DATABASE_URL to run several servers`,
  ])
  await other.exited
  const client = await connect(postgres.connection)
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  await client.end()
  await postgres.stop()
})

test('the database that a killed server left running is adopted, and stopped with its adopter', async () => {
  const directory = await scratchDirectory()
  const killed = new EmbeddedChild({ dist: await builtDist(), directory })
  const { pid } = await killed.started()
  await killed.kill()
  expect(await isAlive(pid)).toBe(true)

  const messages: string[] = []
  const adopter = await startEmbeddedPostgres({ directory, log: (message) => messages.push(message) })
  expect(adopter.pid).toBe(pid)
  expect(messages).toContain('adopted a running embedded Postgres')
  await expect(startEmbeddedPostgres({ directory })).rejects.toThrow(`in use by pid ${process.pid};`)
  await adopter.stop()
  // It is nobody’s postmaster any more a moment before the system has cleared it away.
  await expect.poll(() => isAlive(pid)).toBe(false)
})

test('the adopter learns of the death of a postmaster that is not its child', async () => {
  const directory = await scratchDirectory()
  const killed = new EmbeddedChild({ dist: await builtDist(), directory })
  const { pid } = await killed.started()
  await killed.kill()
  const adopter = await startEmbeddedPostgres({ directory })
  process.kill(pid, 'SIGKILL')
  expect(await adopter.died).toMatchObject({ code: 'embedded_postgres_died' })
})

test('signals to the process group of the server do not reach the database', async () => {
  const directory = await scratchDirectory()
  const server = new EmbeddedChild({ dist: await builtDist(), directory, spawn: { detached: true } })
  const { pid } = await server.started()
  process.kill(-server.pid, 'SIGINT')
  await server.exited
  expect(await isAlive(pid)).toBe(true)
  const adopter = await startEmbeddedPostgres({ directory })
  expect(adopter.pid).toBe(pid)
  await adopter.stop()
})

test('the database does not keep its process alive', async () => {
  const directory = await scratchDirectory()
  const idle = new EmbeddedChild({ dist: await builtDist(), directory, linger: false })
  const { pid } = await idle.started()
  idle.process.stdin?.end()
  await idle.exited
  expect(idle.process.exitCode).toBe(0)
  expect(await isAlive(pid)).toBe(true)
})

test('of servers that start at once on a fresh directory exactly one wins, and nothing breaks', async () => {
  const directory = await scratchDirectory()
  const dist = await builtDist()
  const children = Array.from({ length: 5 }, () => new EmbeddedChild({ dist, directory }))
  const outcomes = await Promise.all(children.map((child) => child.event('started', 'failed')))
  const [winner, ...others] = children.filter((_, at) => outcomes[at]?.event === 'started')
  expect(others).toEqual([])
  if (winner === undefined) throw new Error(JSON.stringify(outcomes))
  for (const { event, code, message } of outcomes) {
    if (event === 'started') continue
    expect(code).toBe('data_directory_in_use')
    expect(message).toContain(`in use by pid ${winner.pid};`)
  }
  const client = await connect((await winner.started()).connection)
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  await client.end()
  await winner.stop()
})

test('of servers that start at once on a leftover database exactly one adopts it', async () => {
  const directory = await scratchDirectory()
  const dist = await builtDist()
  const killed = new EmbeddedChild({ dist, directory })
  const { pid } = await killed.started()
  await killed.kill()
  const children = Array.from({ length: 4 }, () => new EmbeddedChild({ dist, directory }))
  const outcomes = await Promise.all(children.map((child) => child.event('started', 'failed')))
  const started = outcomes.filter(({ event }) => event === 'started')
  expect(started.map((event) => event.pid)).toEqual([pid])
  expect(outcomes.filter(({ code }) => code === 'data_directory_in_use')).toHaveLength(3)
  await children.find((_, at) => outcomes[at]?.event === 'started')?.stop()
})

test('starts at once within one process are told apart too', async () => {
  const directory = await scratchDirectory()
  const starts = await Promise.allSettled([
    startEmbeddedPostgres({ directory }),
    startEmbeddedPostgres({ directory }),
  ])
  const [started, ...more] = starts.filter((start) => start.status === 'fulfilled')
  expect(more).toEqual([])
  expect(starts.find((start) => start.status === 'rejected')?.reason.message).toContain(
    `in use by pid ${process.pid};`,
  )
  await started?.value.stop()
})

test('a lost lock is taken again while the database lives', async () => {
  const directory = await scratchDirectory()
  const postgres = await startEmbeddedPostgres({ directory })
  const client = await connect(postgres.connection)
  const before = await ownerOtherThan(client, 0)
  await client.query('SELECT pg_terminate_backend($1)', [before])
  await ownerOtherThan(client, before)
  await client.end()

  await expect(startEmbeddedPostgres({ directory })).rejects.toThrow(`in use by pid ${process.pid};`)
  await postgres.stop()
  await expect.poll(() => isAlive(postgres.pid)).toBe(false)
})

test('a server that lost its lock to another is told, and leaves the database to that one', async () => {
  const directory = await scratchDirectory()
  const postgres = await startEmbeddedPostgres({ directory })
  const admin = await connect(postgres.connection)
  const owner = await ownerOtherThan(admin, 0)
  const thief = await connect(postgres.connection)
  await thief.query("SET application_name = 'tributary owner 4194303 thief'")
  // In the queue of the lock, so that it is the next to have it when the owner's connection goes.
  const stolen = thief.query(
    `SELECT pg_advisory_lock(classid::int, objid::int) FROM pg_locks WHERE locktype = 'advisory' AND granted`,
  )
  await somebodyWaits(admin)
  await admin.query('SELECT pg_terminate_backend($1)', [owner])
  await stolen
  expect(await postgres.died).toMatchObject({
    code: 'data_directory_in_use',
    message: expect.stringContaining('in use by pid 4194303;'),
  })
  await postgres.stop()
  expect(await isAlive(postgres.pid)).toBe(true)
  await Promise.all([thief.end(), admin.end()])
})
