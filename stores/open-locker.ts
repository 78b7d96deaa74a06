import { type Logger, silent } from '../src/upload/log.js'
import { checkDatabase, checkNames } from './parallel/options.js'
import type { Connection } from './postgres/database.js'
import type { PostgresLocker } from './postgres/locker.js'
import { openPostgres } from './postgres/open.js'

export interface OpenPostgresLockerOptions {
  /** PostgreSQL 14 or newer: a URL, or pg's settings. Tables are made in a schema of their own. */
  readonly database: Connection
  /** Needed when `database` leads through a pooler such as pgbouncer, and says that it does: a way around it. */
  readonly directDatabase?: Connection
  /** Schema of the tables, made when missing. Servers that exclude each other share it. Default `tributary`. */
  readonly schema?: string
  /** How long `lock` waits for a holder that does not let go, in ms. Default 30 s, as @tus/server's own locker. */
  readonly acquireTimeout?: number
  /** A pino logger, or anything with its methods. Default: no log. */
  readonly log?: Logger
}

export interface OpenPostgresLocker {
  /** For the option `locker` of any server of @tus/server, with any store. */
  readonly locker: PostgresLocker
  /** Ends this process' lease, which frees what it still holds, and closes the connections. Close the HTTP server first. */
  close(): Promise<void>
}

const OPTIONS: readonly (keyof OpenPostgresLockerOptions)[] = [
  'database',
  'directDatabase',
  'schema',
  'acquireTimeout',
  'log',
]

/**
 * Opens locks that exclude all processes on one database, for @tus/server with a store of its own; a
 * `ParallelStore` brings its locker along. Rejects with `DatabaseTooNew`, `DatabaseUnfit`, or what pg says.
 */
export async function openPostgresLocker(options: OpenPostgresLockerOptions): Promise<OpenPostgresLocker> {
  checkNames(options, OPTIONS)
  checkDatabase(options)
  const { locker, close } = await openPostgres({
    connection: options.database,
    ...(options.directDatabase !== undefined && { directConnection: options.directDatabase }),
    ...(options.schema !== undefined && { schema: options.schema }),
    expiration: null,
    ...(options.acquireTimeout !== undefined && { locking: { acquireTimeout: options.acquireTimeout } }),
    log: options.log ?? silent,
  })
  return { locker, close }
}
