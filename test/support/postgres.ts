import { randomBytes } from 'node:crypto'
import { inject } from 'vitest'
import { silent } from '../../src/upload/log.js'
import { connect } from '../../stores/postgres/database.js'
import { type OpenPostgres, openPostgres, type PostgresOptions } from '../../stores/postgres/open.js'

/**
 * A schema of its own in the database of the run; gone after `drop`. With TEST_POOLER_URL, a transaction pooler before
 * that database, its nodes go through that.
 */
export interface TestSchema {
  readonly name: string
  /** Another node on this schema. */
  open(options?: Partial<PostgresOptions>): Promise<OpenPostgres>
  /** Runs SQL with `$s` standing for the schema. */
  run<Row>(sql: string): Promise<readonly Row[]>
  drop(): Promise<void>
}

const DAY = 24 * 60 * 60 * 1000

export function testSchema(): TestSchema {
  const connection = inject('database')
  const pooler = process.env.TEST_POOLER_URL
  const ways = pooler ? { connection: pooler, directConnection: connection } : { connection }
  const name = `t_${randomBytes(6).toString('hex')}`
  const knex = connect(connection, 2)
  const opened: OpenPostgres[] = []
  return {
    name,
    open: async (options) => {
      const way = options?.connection === undefined ? ways : { connection }
      const node = await openPostgres({ ...way, schema: name, expiration: DAY, log: silent, ...options })
      opened.push(node)
      return node
    },
    run: async (sql) => ((await knex.raw(sql.replaceAll('$s', `"${name}"`))) as { rows: never[] }).rows,
    drop: async () => {
      await Promise.all(opened.map((node) => node.close()))
      await knex.raw(`drop schema if exists "${name}" cascade`)
      await knex.destroy()
    },
  }
}
