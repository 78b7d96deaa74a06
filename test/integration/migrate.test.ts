import { randomBytes } from 'node:crypto'
import { afterEach, expect, inject, test } from 'vitest'
import { migrations } from '../../migrations/index.js'
import { connect, quoteIdentifier } from '../../stores/postgres/database.js'
import { DatabaseTooNew, migrate } from '../../stores/postgres/migrate.js'

const schemas: string[] = []

function freshSchema(prefix = 'm'): string {
  const name = `${prefix}_${randomBytes(6).toString('hex')}`
  schemas.push(name)
  return name
}

async function run<Row>(sql: string): Promise<readonly Row[]> {
  const knex = connect(inject('database'), 1)
  try {
    return ((await knex.raw(sql)) as { rows: Row[] }).rows
  } finally {
    await knex.destroy()
  }
}

afterEach(async () => {
  for (const name of schemas.splice(0)) await run(`drop schema if exists ${quoteIdentifier(name)} cascade`)
})

test('a first run applies every step, a second none', async () => {
  const schema = freshSchema()
  expect(await migrate(inject('database'), schema)).toEqual(migrations.map((step) => step.name))
  expect(await migrate(inject('database'), schema)).toEqual([])
})

test('20 installers at once apply each step exactly once', async () => {
  const schema = freshSchema()
  const applied = await Promise.all(Array.from({ length: 20 }, () => migrate(inject('database'), schema)))
  expect(applied.flat().sort()).toEqual(migrations.map((step) => step.name).sort())
  const rows = await run<{ name: string }>(`select name from "${schema}".migrations order by name`)
  expect(rows.map((row) => row.name)).toEqual(migrations.map((step) => step.name).sort())
})

test('a schema name that has to be quoted works', async () => {
  const schema = freshSchema('Ünüsual "name"')
  await migrate(inject('database'), schema)
  const rows = await run<{ n: string }>(
    `select count(*) as n from information_schema.tables where table_schema = '${schema}' and table_name = 'uploads'`,
  )
  expect(rows[0]?.n).toBe('1')
})

test('a database newer than the code is refused, with what it has and the code lacks', async () => {
  const schema = freshSchema()
  await migrate(inject('database'), schema)
  await run(`insert into "${schema}".migrations (name) values ('9999_from_the_future')`)
  const refused = await migrate(inject('database'), schema).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(DatabaseTooNew)
  expect((refused as Error).message).toContain('9999_from_the_future')
})

test('an installer killed in the middle leaves neither half a schema nor a lock', async () => {
  const schema = freshSchema()
  const knex = connect(inject('database'), 1)
  const killed = knex.transaction(async (trx) => {
    await trx.raw('select pg_advisory_xact_lock(?)', [0x7472_6962])
    await trx.raw(`create schema "${schema}"`)
    const [{ pid }] = ((await trx.raw('select pg_backend_pid() as pid')) as { rows: [{ pid: number }] }).rows
    await run(`select pg_terminate_backend(${pid})`)
    await trx.raw('select 1')
  })
  await expect(killed).rejects.toThrow()
  await knex.destroy()
  expect(await migrate(inject('database'), schema)).toHaveLength(migrations.length)
})

test('step names carry no file extension, as they are stored in the database', () => {
  for (const { name } of migrations) expect(name).toMatch(/^\d{4}_[a-z_]+$/)
})
