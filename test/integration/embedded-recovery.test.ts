import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { endPostmaster } from '../../stores/postgres/embedded/postmaster.js'
import { isAlive } from '../../stores/postgres/embedded/process-table.js'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../stores/postgres/embedded.js'
import { builtDist } from '../support/built.js'
import { EmbeddedChild } from '../support/embedded-child.js'
import { scratchDirectory } from '../support/embedded-scratch.js'

async function connect(connection: EmbeddedPostgres['connection']): Promise<pg.Client> {
  const client = new pg.Client(connection)
  client.on('error', () => undefined)
  await client.connect()
  return client
}

/** A process that is no postgres, and lives until the test ends. */
async function bystander(): Promise<number> {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' })
  await once(child, 'spawn')
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  if (child.pid === undefined) throw new Error('sleep did not start')
  return child.pid
}

test('a killed postmaster is reported, and the next start recovers what was committed', async () => {
  const directory = await scratchDirectory()
  const first = await startEmbeddedPostgres({ directory })
  const client = await connect(first.connection)
  await client.query("CREATE TABLE kept AS SELECT 'committed' AS word")
  process.kill(first.pid, 'SIGKILL')
  const death = await first.died
  expect(death).toMatchObject({ code: 'embedded_postgres_died' })
  expect(death.message).toContain('ready to accept connections')
  await first.stop()

  const second = await startEmbeddedPostgres({ directory })
  const again = await connect(second.connection)
  expect((await again.query('SELECT word FROM kept')).rows).toEqual([{ word: 'committed' }])
  await again.end()
  await second.stop()
})

test('a shutdown by somebody else is reported as a death', async () => {
  const directory = await scratchDirectory()
  const postgres = await startEmbeddedPostgres({ directory })
  process.kill(postgres.pid, 'SIGINT')
  expect(await postgres.died).toMatchObject({ code: 'embedded_postgres_died' })
})

test('a backend that outlives its postmaster delays the start, and does not spoil it', async () => {
  const directory = await scratchDirectory()
  const first = await startEmbeddedPostgres({ directory })
  const client = await connect(first.connection)
  const [{ pid } = { pid: 0 }] = (await client.query('SELECT pg_backend_pid() AS pid')).rows
  process.kill(pid, 'SIGSTOP')
  process.kill(first.pid, 'SIGKILL')
  await first.died

  const messages: string[] = []
  const log = (message: string): void => {
    messages.push(message)
    if (message.includes('still holds')) process.kill(pid, 'SIGCONT')
  }
  const second = await startEmbeddedPostgres({ directory, log })
  expect(messages).toContain('waiting: an old Postgres still holds the data directory')
  await second.stop()
})

test('a start waits for an old postmaster that is slow to die', async () => {
  const directory = await scratchDirectory()
  const killed = new EmbeddedChild({ dist: await builtDist(), directory })
  const { pid, connection } = await killed.started()
  const client = await connect(connection)
  await killed.kill()
  // The smart shutdown waits for clients, of which one is left.
  process.kill(pid, 'SIGTERM')
  await statusIs(directory, 'stopping')

  const messages: string[] = []
  const log = (message: string): void => {
    messages.push(message)
    if (message.includes('shutting down')) void client.end()
  }
  const next = await startEmbeddedPostgres({ directory, log })
  expect(messages).toContain('waiting: an old Postgres is shutting down')
  expect(next.pid).not.toBe(pid)
  await next.stop()
})

test('a postmaster that does not die within the patience of a start is a sentence', async () => {
  const directory = await scratchDirectory()
  const killed = new EmbeddedChild({ dist: await builtDist(), directory })
  const { pid, connection } = await killed.started()
  const client = await connect(connection)
  await killed.kill()
  process.kill(pid, 'SIGTERM')
  await statusIs(directory, 'stopping')
  const start = startEmbeddedPostgres({ directory }, { patience: 500 })
  await expect(start).rejects.toMatchObject({
    code: 'embedded_postgres_failed',
    message: expect.stringContaining('does not end; end it, or set DATABASE_URL'),
    cause: { code: '57P03' },
  })
  await client.end()
})

test('a leftover postmaster.pid whose pid is now a stranger is ignored, and the stranger lives', async () => {
  const directory = await scratchDirectory()
  const first = await startEmbeddedPostgres({ directory })
  process.kill(first.pid, 'SIGKILL')
  await first.died
  const stranger = await bystander()
  for (const name of ['postmaster.pid', '.s.PGSQL.5432.lock']) {
    const path = join(directory, 'postgres', name)
    const text = await readFile(path, 'utf8')
    await writeFile(path, text.replace(/^\d+/, String(stranger)))
  }
  const second = await startEmbeddedPostgres({ directory })
  const client = await connect(second.connection)
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }])
  await client.end()
  await second.stop()
  expect(await isAlive(stranger)).toBe(true)
})

test('a leftover postmaster.pid whose pid is now a postgres of another directory is ignored', async () => {
  const directory = await scratchDirectory()
  const other = await startEmbeddedPostgres({ directory: await scratchDirectory() })
  const first = await startEmbeddedPostgres({ directory })
  process.kill(first.pid, 'SIGKILL')
  await first.died
  const path = join(directory, 'postgres', 'postmaster.pid')
  await writeFile(path, (await readFile(path, 'utf8')).replace(/^\d+/, String(other.pid)))
  const second = await startEmbeddedPostgres({ directory })
  expect(second.pid).not.toBe(other.pid)
  await second.stop()
  expect(await isAlive(other.pid)).toBe(true)
  await other.stop()
})

test('an empty postmaster.pid, left by a full disk, is ignored', async () => {
  const directory = await scratchDirectory()
  await (await startEmbeddedPostgres({ directory })).stop()
  const path = join(directory, 'postgres', 'postmaster.pid')
  await writeFile(path, '')
  await utimes(path, 0, 0)
  await (await startEmbeddedPostgres({ directory })).stop()
})

test('a postmaster that hangs is ended all the same', async () => {
  const directory = await scratchDirectory()
  const postgres = await startEmbeddedPostgres({ directory })
  const client = await connect(postgres.connection)
  const [{ pid } = { pid: 0 }] = (await client.query('SELECT pg_backend_pid() AS pid')).rows
  // A frozen backend keeps the fast shutdown from ending.
  process.kill(pid, 'SIGSTOP')
  const binaries = { postgres: '', initdb: '', pg_ctl: '' }
  await endPostmaster(postgres.pid, join(directory, 'postgres'), binaries, 200)
  // An end is seen by the command line going away, which is a moment before the pid does.
  await expect.poll(() => isAlive(postgres.pid)).toBe(false)
  await expect.poll(() => isAlive(pid)).toBe(false)
  await postgres.stop()
})

test('a postmaster whose data directory was deleted is ended all the same', async () => {
  const directory = await scratchDirectory()
  const postgres = await startEmbeddedPostgres({ directory })
  await rm(join(directory, 'postgres'), { recursive: true })
  await postgres.stop()
  await expect.poll(() => isAlive(postgres.pid)).toBe(false)
})

async function statusIs(directory: string, status: string): Promise<void> {
  const text = await readFile(join(directory, 'postgres', 'postmaster.pid'), 'utf8')
  if (!text.includes(status)) await statusIs(directory, status)
}
