import knexFactory, { type Knex } from 'knex'
import type pg from 'pg'
import { isRetryable, isUnanswered, translate } from './failures.js'

/** How to reach a database: a URL, or pg's own settings (host, port, user, database, password …). */
export type Connection = string | Readonly<Record<string, unknown>>

/** A statement that hangs longer is ended by the server, in ms; nothing we run takes a tenth of that. */
const STATEMENT_TIMEOUT = 30_000

/** How long a request waits for a pooled connection, or for a new one, in ms. */
const CONNECT_TIMEOUT = 5_000

/** Longer than any answer can be under way: what this node holds and does not know of since then is an orphan. */
export const ORPHANED = '60 seconds'

/**
 * How long an answer is waited for, in ms. A connection that dies without a word (a network that drops packets, a
 * host that is gone) would be waited at for a quarter of an hour, and a heartbeat with it; knex throws it away.
 */
export const ANSWER_TIMEOUT = 10_000

const ATTEMPTS = 5

/** Makes a pool of sessions, each with the settings we insist on. Nothing is connected before the first statement. */
export function connect(connection: Connection, most = 10): Knex {
  return makePool(connection, most, { statement_timeout: STATEMENT_TIMEOUT }, insistOnCommits)
}

/**
 * The same where a transaction pooler may stand in between: it refuses settings, and what is set on a session stays
 * with whoever gets it next. So none is set; `checkConnections` looks whether the role brings them.
 */
export function connectThroughPooler(connection: Connection, most = 10): Knex {
  return makePool(connection, most, {}, undefined)
}

type AfterCreate = (client: pg.Client, done: (error: Error | null, client: pg.Client) => void) => void

function makePool(
  connection: Connection,
  most: number,
  session: Knex.PgConnectionConfig,
  afterCreate: AfterCreate | undefined,
): Knex {
  const settings = typeof connection === 'string' ? { connectionString: connection } : connection
  return knexFactory({
    client: 'pg',
    connection: {
      ...settings,
      application_name: 'tributary',
      ...session,
      connectionTimeoutMillis: CONNECT_TIMEOUT,
      keepAlive: true,
    } as Knex.PgConnectionConfig,
    pool: { min: 0, max: most, idleTimeoutMillis: 30_000, ...(afterCreate && { afterCreate }) },
    acquireConnectionTimeout: CONNECT_TIMEOUT,
    log: QUIET,
  })
}

/** Knex prints to stdout what it also rejects with; there only the address of the server belongs. */
const ignore = () => undefined
const QUIET = { debug: ignore, warn: ignore, error: ignore, deprecate: ignore }

/**
 * A role or database may have `synchronous_commit = off`; then a commit that was acknowledged could be lost (law 3).
 * Stronger settings than `on` stay.
 */
function insistOnCommits(client: pg.Client, done: (error: Error | null, client: pg.Client) => void): void {
  client
    .query(
      "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
    )
    .then(
      () => done(null, client),
      (error: Error) => done(error, client),
    )
}

/** A schema name quoted for SQL text. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** One pool and one schema: where all statements of the registry go through. */
export class Database {
  readonly knex: Knex
  /** The schema, quoted. */
  readonly s: string
  /** The channel of NOTIFY between nodes that share this schema. */
  readonly channel: string
  /** Whether a transaction pooler stands in between, so that two statements may meet two sessions. */
  readonly pooled: boolean

  constructor(knex: Knex, schema: string, pooled = false) {
    this.knex = knex
    this.pooled = pooled
    this.s = quoteIdentifier(schema)
    this.channel = `tributary_${schema}`.slice(0, 63)
  }

  /**
   * Runs one statement, prepared under `name` unless the session may be another one each time, and gives its rows. A
   * deadlock or serialization failure runs it again; a database that is away throws `registry_unavailable`.
   */
  rows<Row>(name: string, sql: string, bindings: readonly unknown[] = []): Promise<readonly Row[]> {
    return again(async () => {
      try {
        return await query<Row>(this.knex, this.pooled ? null : name, sql, bindings)
      } catch (error) {
        throw translate(error)
      }
    })
  }

  /** The single value of a statement of the form `select f(...) as value`. */
  async value<Value>(name: string, sql: string, bindings: readonly unknown[] = []): Promise<Value> {
    const [row] = await this.rows<{ value: Value }>(name, sql, bindings)
    return row?.value as Value
  }

  /**
   * Runs several statements as one transaction: all of them are committed when it resolves, and none when `work` throws,
   * whose error is thrown as it is. After a deadlock `work` runs again from its beginning. It holds a connection.
   */
  transaction<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return again(() => this.#once(work))
  }

  async #once<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    let failed: { readonly error: unknown } | null = null
    let connection: PooledConnection | null = null
    let limit: NodeJS.Timeout | undefined
    // Knex waits for the answers to BEGIN and COMMIT as long as it takes. A dead connection is to end that.
    const expectAnswer = () => {
      limit = setTimeout(() => connection?.connection.stream.destroy(), ANSWER_TIMEOUT)
    }
    try {
      connection = (await this.knex.client.acquireConnection()) as PooledConnection
      expectAnswer()
      return await this.knex.transaction(
        async (trx) => {
          clearTimeout(limit)
          try {
            return await work(new Transaction(trx, this.pooled))
          } catch (error) {
            failed = { error }
            throw error
          } finally {
            expectAnswer()
          }
        },
        { connection },
      )
    } catch (error) {
      // What went wrong while it was rolled back says less than why.
      throw failed === null ? translate(error) : (failed as { error: unknown }).error
    } finally {
      clearTimeout(limit)
      if (connection !== null) this.knex.client.releaseConnection(connection)
    }
  }
}

/** Statements that are committed together. */
export class Transaction {
  readonly knex: Knex.Transaction
  readonly #pooled: boolean

  constructor(knex: Knex.Transaction, pooled: boolean) {
    this.knex = knex
    this.#pooled = pooled
  }

  async rows<Row>(name: string, sql: string, bindings: readonly unknown[] = []): Promise<readonly Row[]> {
    try {
      return await queryWithin<Row>(this.knex, this.#pooled ? null : name, sql, bindings)
    } catch (error) {
      throw translate(error)
    }
  }

  async value<Value>(name: string, sql: string, bindings: readonly unknown[] = []): Promise<Value> {
    const [row] = await this.rows<{ value: Value }>(name, sql, bindings)
    return row?.value as Value
  }
}

/** As much of pg's client as is needed to ask it, and to hang up on it. */
interface PooledConnection {
  readonly connection: { readonly stream: { destroy(): void } }
  query(query: pg.QueryConfig & { query_timeout: number }): Promise<{ rows: unknown[] }>
  /** Knex: set, the pool throws it away. */
  __knex__disposed?: unknown
}

/**
 * By a connection of Knex's pool, but past its query builder, which took half of the time a statement took this process.
 */
async function query<Row>(
  knex: Knex,
  name: string | null,
  sql: string,
  bindings: readonly unknown[],
): Promise<readonly Row[]> {
  const connection = (await knex.client.acquireConnection()) as PooledConnection
  try {
    const { rows } = await connection.query({
      ...(name !== null && { name: `tributary_${name}` }),
      text: numbered(sql),
      values: bindings as unknown[],
      query_timeout: ANSWER_TIMEOUT,
    })
    return rows as Row[]
  } catch (error) {
    // Its answer may still come, to whoever would be given the connection next.
    if (isUnanswered(error)) connection.__knex__disposed = error
    throw error
  } finally {
    knex.client.releaseConnection(connection)
  }
}

const numberedTexts = new Map<string, string>()

/** The text with `$1`, `$2` … for its question marks, as Knex writes it. Our texts are few and have no others. */
function numbered(sql: string): string {
  let text = numberedTexts.get(sql)
  if (text === undefined) {
    let count = 0
    text = sql.replaceAll('?', () => `$${++count}`)
    numberedTexts.set(sql, text)
  }
  return text
}

/** A statement that is not answered in time leaves its connection unfit: the pool throws it away. */
async function queryWithin<Row>(
  knex: Knex.Transaction,
  name: string | null,
  sql: string,
  bindings: readonly unknown[],
): Promise<readonly Row[]> {
  const result = (await knex
    .raw(sql, bindings as Knex.RawBinding[])
    .options(name === null ? {} : { name: `tributary_${name}` })
    .timeout(ANSWER_TIMEOUT)) as { rows: Row[] }
  return result.rows
}

async function again<T>(attempt: () => Promise<T>): Promise<T> {
  for (let count = 1; ; count++) {
    try {
      return await attempt()
    } catch (error) {
      if (!isRetryable(error) || count === ATTEMPTS) throw error
    }
  }
}
