import type { Knex } from 'knex'
import { type Migration, migrations } from '../../migrations/index.js'
import { type Connection, connectThroughPooler, quoteIdentifier } from './database.js'

/** The database was migrated by newer code than this. */
export class DatabaseTooNew extends Error {
  readonly code = 'database_too_new'

  constructor(schema: string, unknown: readonly string[]) {
    super(
      `The schema "${schema}" was migrated by a newer version of Tributary (it has ${unknown.join(', ')}); ` +
        'start that version or a newer one.',
    )
    this.name = 'DatabaseTooNew'
  }
}

/** The database cannot hold the schema. */
export class DatabaseUnfit extends Error {
  readonly code = 'database_unfit'

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'DatabaseUnfit'
  }
}

/** Multiranges, on which the bookkeeping of ranges rests, came with PostgreSQL 14. */
const OLDEST = 140_000

/** One number for all installers of all schemas of a database: `create extension` is shared by them. */
const LOCK = 0x7472_6962

/**
 * Brings a schema up to date and says which steps were applied. Installers wait for each other on an advisory lock
 * that ends with its transaction: a killed one leaves neither a lock nor half a schema. (Knex's own lock table throws
 * at the second installer and outlives a kill.) All it sets ends with the transaction too, so it may pass a pooler.
 */
export async function migrate(connection: Connection, schema: string): Promise<readonly string[]> {
  const knex = connectThroughPooler(connection, 1)
  try {
    return await knex.transaction((trx) => migrateWithin(trx, schema))
  } finally {
    await knex.destroy()
  }
}

async function migrateWithin(trx: Knex.Transaction, schema: string): Promise<readonly string[]> {
  const s = quoteIdentifier(schema)
  await checkVersion(trx)
  // Waiting for another installer is no fault; the timeout of ordinary statements is too short for it.
  await trx.raw('set local statement_timeout = 0')
  await trx.raw('select pg_advisory_xact_lock(?)', [LOCK])
  await trx.raw(`create schema if not exists ${s}`)
  await createExtension(trx)
  await trx.raw(`create table if not exists ${s}.migrations (
    name text primary key, applied_at timestamptz not null default clock_timestamp())`)
  const applied = new Set(
    (await rowsOf<{ name: string }>(trx, `select name from ${s}.migrations`)).map((row) => row.name),
  )
  const known = new Set(migrations.map((step) => step.name))
  const unknown = [...applied].filter((name) => !known.has(name))
  if (unknown.length > 0) throw new DatabaseTooNew(schema, unknown)
  const due = migrations.filter((step) => !applied.has(step.name))
  for (const step of due) await apply(trx, s, step)
  return due.map((step) => step.name)
}

async function checkVersion(trx: Knex.Transaction): Promise<void> {
  const [row] = await rowsOf<{ server_version_num: string }>(trx, 'show server_version_num')
  const version = Number(row?.server_version_num)
  if (version >= OLDEST) return
  throw new DatabaseUnfit(`PostgreSQL 14 or newer is needed; this server says ${version}.`)
}

async function createExtension(trx: Knex.Transaction): Promise<void> {
  try {
    // A savepoint: a refusal is to become a sentence, not a transaction that can say nothing more.
    await trx.transaction((inner) => inner.raw('create extension if not exists btree_gist'))
  } catch (error) {
    throw new DatabaseUnfit(
      "The extension btree_gist is needed (it belongs to PostgreSQL's contrib modules) and could not be created; " +
        'have an administrator run "create extension btree_gist" in this database.',
      { cause: error },
    )
  }
}

async function apply(trx: Knex.Transaction, s: string, step: Migration): Promise<void> {
  await step.up(trx, s)
  await trx.raw(`insert into ${s}.migrations (name) values (?)`, [step.name])
}

async function rowsOf<Row>(trx: Knex.Transaction, sql: string): Promise<readonly Row[]> {
  const result = (await trx.raw(sql)) as { rows: Row[] }
  return result.rows
}
