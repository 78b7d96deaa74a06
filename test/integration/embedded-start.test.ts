import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { isAlive } from '../../stores/postgres/embedded/process-table.js'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../stores/postgres/embedded.js'
import { builtDist } from '../support/built.js'
import { EmbeddedChild } from '../support/embedded-child.js'
import { scratchDirectory } from '../support/embedded-scratch.js'

async function query(postgres: EmbeddedPostgres, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(postgres.connection)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

test('a fresh start makes a durable UTF8 database behind a private socket', async () => {
  const directory = join(await scratchDirectory(), 'data')
  const postgres = await startEmbeddedPostgres({ directory })
  expect(await query(postgres, 'CREATE EXTENSION btree_gist')).toEqual([])
  const [settings] = await query(
    postgres,
    `SELECT current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync,
            current_setting('synchronous_commit') AS commit, current_setting('listen_addresses') AS addresses,
            current_setting('data_checksums') AS checksums, datlocale
       FROM pg_database WHERE datname = current_database()`,
  )
  expect(settings).toEqual({
    encoding: 'UTF8',
    fsync: 'on',
    commit: 'on',
    addresses: '',
    checksums: 'on',
    datlocale: 'C.UTF-8',
  })
  const { host } = postgres.connection
  expect(host).toBe(join(directory, 'postgres'))
  expect((await stat(host)).mode & 0o777).toBe(0o700)
  expect(await readdir(directory)).toEqual(['postgres', 'postgres.turn'])
  await postgres.stop()
})

test('a restart keeps the data', async () => {
  const directory = await scratchDirectory()
  const first = await startEmbeddedPostgres({ directory })
  await query(first, "CREATE TABLE kept AS SELECT 'still here' AS word")
  await first.stop()

  const second = await startEmbeddedPostgres({ directory })
  expect(await query(second, 'SELECT word FROM kept')).toEqual([{ word: 'still here' }])
  await second.stop()
})

test('stop ends the postmaster with a checkpoint, also when called twice and with clients connected', async () => {
  const directory = await scratchDirectory()
  const postgres = await startEmbeddedPostgres({ directory })
  const client = new pg.Client(postgres.connection)
  client.on('error', () => undefined)
  await client.connect()
  const [{ pids } = {}] = await query(postgres, 'SELECT array_agg(pid) AS pids FROM pg_stat_activity')
  await Promise.all([postgres.stop(), postgres.stop()])
  await postgres.stop()

  expect(existsSync(join(directory, 'postgres', 'postmaster.pid'))).toBe(false)
  const log = await readFile(join(directory, 'postgres', 'server.log'), 'utf8')
  expect(log).toContain('database system is shut down')
  const processes = [postgres.pid, ...(Array.isArray(pids) ? pids : [])]
  for (const pid of processes) await expect.poll(() => isAlive(Number(pid))).toBe(false)
  expect(await Promise.race([postgres.died, 'nobody was told of a death'])).toBe('nobody was told of a death')
})

test('a path too long for a socket moves the socket to a private directory, which goes with it', async () => {
  const directory = join(await scratchDirectory(), 'x'.repeat(120))
  const postgres = await startEmbeddedPostgres({ directory })
  const { host } = postgres.connection
  expect(dirname(host)).toBe(tmpdir())
  expect((await stat(host)).mode & 0o777).toBe(0o700)
  expect(await query(postgres, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  await postgres.stop()
  expect(existsSync(host)).toBe(false)
})

for (const [transport, path] of [
  ['socket', 'x'.repeat(120)],
  ['tcp', 'data'],
] as const) {
  test(`a database that died and is started again has its old address (${transport})`, async () => {
    const directory = join(await scratchDirectory(), path)
    const first = await startEmbeddedPostgres({ directory }, { transport })
    process.kill(first.pid, 'SIGKILL')
    await first.died
    const second = await startEmbeddedPostgres({ directory }, { transport })
    expect(second.connection).toEqual(first.connection)
    process.kill(second.pid, 'SIGINT')
    await second.died
    const third = await startEmbeddedPostgres({ directory }, { transport })
    expect(third.connection).toEqual(first.connection)
    expect(await query(third, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    await third.stop()
    expect(existsSync(first.connection.host)).toBe(false)
  })
}

test('a path with quotes, commas and spaces is a path', async () => {
  const directory = join(await scratchDirectory(), 'it\'s, "so to say", ümläut $HOME')
  const postgres = await startEmbeddedPostgres({ directory })
  expect(await query(postgres, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  await postgres.stop()
})

test('over TCP only the password from the data directory opens', async () => {
  const directory = await scratchDirectory()
  const postgres = await startEmbeddedPostgres({ directory }, { transport: 'tcp' })
  expect(postgres.connection.host).toBe('127.0.0.1')
  expect(await query(postgres, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  const wrong = new pg.Client({ ...postgres.connection, password: 'guessed' })
  await expect(wrong.connect()).rejects.toMatchObject({ code: '28P01' })
  const password = await stat(join(directory, 'postgres', 'tributary.password'))
  expect(password.mode & 0o777).toBe(0o600)
  await expect(startEmbeddedPostgres({ directory }, { transport: 'tcp' })).rejects.toMatchObject({
    code: 'data_directory_in_use',
  })
  await postgres.stop()
})

test('a first start killed within initdb leaves nothing that a later start could take for a database', async () => {
  const directory = await scratchDirectory()
  const child = new EmbeddedChild({ dist: await builtDist(), directory })
  await child.event('log')
  await child.kill()
  expect(await readdir(directory)).not.toContain('postgres')

  const postgres = await startEmbeddedPostgres({ directory })
  expect(await query(postgres, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
  expect(await readdir(directory)).toEqual(['postgres', 'postgres.turn'])
  await postgres.stop()
})

test('something else in the place of the database is left alone, and a sentence says so', async () => {
  const directory = await scratchDirectory()
  await mkdir(join(directory, 'postgres'))
  await writeFile(join(directory, 'postgres', 'precious'), 'mine')
  await expect(startEmbeddedPostgres({ directory })).rejects.toThrow(/exists and holds no database/)
  expect(await readFile(join(directory, 'postgres', 'precious'), 'utf8')).toBe('mine')
  expect(await readdir(directory)).toEqual(['postgres', 'postgres.turn'])
})

test('a Postgres that cannot start says why with the last lines of its log, and leaves no process', async () => {
  const directory = await scratchDirectory()
  await (await startEmbeddedPostgres({ directory })).stop()
  await writeFile(join(directory, 'postgres', 'postgresql.conf'), 'no_such_setting = 1\n')
  const start = startEmbeddedPostgres({ directory })
  await expect(start).rejects.toMatchObject({ code: 'embedded_postgres_failed' })
  await expect(start).rejects.toThrow(/unrecognized configuration parameter "no_such_setting"/)
  expect(existsSync(join(directory, 'postgres', 'postmaster.pid'))).toBe(false)
})

test('a database that was launched and cannot be owned is ended again', async () => {
  const directory = await scratchDirectory()
  await (await startEmbeddedPostgres({ directory })).stop()
  await writeFile(join(directory, 'postgres', 'pg_hba.conf'), 'local all all reject\n')
  const start = startEmbeddedPostgres({ directory }, { patience: 300 })
  await expect(start).rejects.toMatchObject({ code: 'embedded_postgres_failed', cause: { code: '28000' } })
  expect(existsSync(join(directory, 'postgres', 'postmaster.pid'))).toBe(false)
})

test('the log is bounded: a large one is set aside at the next start', async () => {
  const directory = await scratchDirectory()
  await (await startEmbeddedPostgres({ directory })).stop()
  const log = join(directory, 'postgres', 'server.log')
  await writeFile(log, 'x'.repeat(2 * 1024 * 1024))
  const postgres = await startEmbeddedPostgres({ directory })
  await postgres.stop()
  expect((await stat(log)).size).toBeLessThan(10_000)
  expect((await stat(`${log}.1`)).size).toBe(2 * 1024 * 1024)
})
