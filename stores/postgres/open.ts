import type { Logger } from '../../src/upload/log.js'
import { checkConnections } from './check-connections.js'
import type { OnUploadRow } from './creations.js'
import { type Connection, connect, connectThroughPooler, Database } from './database.js'
import { Holdings } from './holdings.js'
import { type LockerOptions, PostgresLocker } from './locker.js'
import { migrate } from './migrate.js'
import { NodeLease } from './node-lease.js'
import { PostgresRegistry } from './registry.js'
import { Signals } from './signals.js'

export interface PostgresOptions {
  /** The database: a URL or pg's settings. */
  readonly connection: Connection
  /**
   * A way to the same database around a transaction pooler, for LISTEN and migrations. That it is given says that
   * `connection` leads through a pooler. Where there is no such way, the same again: nodes then poll.
   */
  readonly directConnection?: Connection
  /** Default `tributary`. */
  readonly schema?: string
  /** How long an upload may rest before it expires, in ms; null: for ever. */
  readonly expiration: number | null
  /** How long after its creation a frago upload expires, whatever comes, in ms; null: never. Default: `expiration`. */
  readonly fragoExpiration?: number | null
  /** Rows of one's own beside those of new uploads, in the same transaction. */
  readonly onUploadRow?: OnUploadRow
  /** Most connections for requests, at least 4; the heartbeat and the listener have their own. Default 10. */
  readonly poolSize?: number
  readonly log: Logger
  /** How the locker waits. */
  readonly locking?: LockerOptions
}

/** This process as a node on a database. */
export interface OpenPostgres {
  readonly registry: PostgresRegistry
  readonly locker: PostgresLocker
  readonly lease: NodeLease
  readonly database: Database
  /** Hands back what this node holds without knowing it; done by itself every 20 s. */
  dropOrphans(): Promise<void>
  close(): Promise<void>
}

const TIDY_MS = 20_000

export const DEFAULT_SCHEMA = 'tributary'

/** Migrates, takes a lease and listens. Throws `DatabaseTooNew`, `DatabaseUnfit`, or what pg says. */
export async function openPostgres(options: PostgresOptions): Promise<OpenPostgres> {
  const schema = options.schema ?? DEFAULT_SCHEMA
  const direct = options.directConnection ?? options.connection
  const database = reach(options, schema, options.poolSize)
  try {
    await checkConnections(database, options.log)
    await migrate(direct, schema)
  } catch (error) {
    await database.knex.destroy()
    throw error
  }
  const heart = reach(options, schema, 1)
  const signals = new Signals(direct, database, options.log)
  const holdings: Holdings = new Holdings(database, signals, options.log, () => lease.epoch)
  const lease: NodeLease = new NodeLease(heart, options.log, () => {
    holdings.yieldAll()
    locker.lostAll()
  })
  const locker = new PostgresLocker(database, lease, signals, options.log, options.locking)
  try {
    await signals.open()
    await lease.start()
  } catch (error) {
    await signals.close()
    await Promise.all([heart.knex.destroy(), database.knex.destroy()])
    throw error
  }
  const registry = new PostgresRegistry(database, lease, signals, holdings, options)
  const dropOrphans = async () => {
    try {
      await holdings.dropOrphans(lease.epoch)
      await locker.dropOrphans()
      await registry.dropOrphans()
    } catch (error) {
      options.log.warn({ err: error }, 'orphaned claims are left to the next look')
    }
  }
  const tidying = setInterval(() => void dropOrphans(), TIDY_MS).unref()
  return {
    registry,
    locker,
    lease,
    database,
    dropOrphans,
    close: async () => {
      clearInterval(tidying)
      await lease
        .stop()
        .catch((error: unknown) => options.log.warn({ err: error }, 'the lease is left to lapse'))
      await signals.close()
      await Promise.all([heart.knex.destroy(), database.knex.destroy()])
    },
  }
}

/** A pool of at most so many connections. */
function reach({ connection, directConnection }: PostgresOptions, schema: string, most?: number): Database {
  const pooled = directConnection !== undefined
  return new Database((pooled ? connectThroughPooler : connect)(connection, most), schema, pooled)
}
