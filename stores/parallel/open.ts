import type { DataStore } from '@tus/utils'
import { Background } from '../../src/upload/background.js'
import { type Engine, makeEngine } from '../../src/upload/engine.js'
import { type Logger, silent } from '../../src/upload/log.js'
import type { ByteStore } from '../../src/upload/ports.js'
import { DiskByteStore } from '../disk/byte-store.js'
import { ParallelStore } from '../parallel-store.js'
import type { Connection } from '../postgres/database.js'
import type { PostgresLocker } from '../postgres/locker.js'
import { type OpenPostgres, openPostgres } from '../postgres/open.js'
import { checkDatabase, checkNames } from './options.js'

export interface OpenParallelStoreOptions {
  /** PostgreSQL 14 or newer: a URL, or pg's settings. Tables are made in a schema of their own. */
  readonly database: Connection
  /** Needed when `database` leads through a pooler such as pgbouncer, and says that it does: a way around it. */
  readonly directDatabase?: Connection
  /** Schema of the tables, made when missing. Servers that share uploads share it. Default `tributary`. */
  readonly schema?: string
  /**
   * Where bytes are kept: a directory (made when missing; several processes of one host may share it), or a store
   * such as `new TusByteStore(fileStore)`. `durability` is `strict` by default: what was acknowledged survives a
   * power cut; `relaxed`: a crash of the process.
   */
  readonly bytes: ByteStore | { readonly directory: string; readonly durability?: 'strict' | 'relaxed' }
  /** How long an upload may rest before it expires, in ms. Default 24 h; null: for ever. Finished ones do not expire. */
  readonly expiration?: number | null
  /** Most bytes an upload may have. Default null: no limit but 2^53 - 1. */
  readonly maxSize?: number | null
  /**
   * When the parts of a parallel upload become one file: `background` (default) after the client has its answer,
   * `inline` before it, `never`. They can be read as one at once in every case.
   */
  readonly assembly?: 'background' | 'inline' | 'never'
  /** A stock store used before, whose uploads keep their URLs; see `ParallelStoreOptions`. Default: none. */
  readonly inherited?: DataStore
  /** A pino logger, or anything with its methods. Default: no log. */
  readonly log?: Logger
}

const OPTIONS: readonly (keyof OpenParallelStoreOptions)[] = [
  'database',
  'bytes',
  'directDatabase',
  'schema',
  'expiration',
  'maxSize',
  'assembly',
  'inherited',
  'log',
]

const DAY = 24 * 60 * 60 * 1000

/** A `ParallelStore` with everything it works with, opened for it and closed with it. */
export class OpenParallelStore extends ParallelStore {
  /** For the `locker` of the same server: it excludes all processes on one database, where the default does not. */
  readonly locker: PostgresLocker
  readonly #background: Background
  readonly #postgres: OpenPostgres
  #closed: Promise<void> | null = null

  /** @internal Made by `openParallelStore`. */
  constructor(engine: Engine, postgres: OpenPostgres, expiration: number | null, inherited?: DataStore) {
    super({ engine, expiration, ...(inherited && { inherited }) })
    this.locker = postgres.locker
    this.#postgres = postgres
    this.#background = new Background(engine)
    this.#background.start()
  }

  /**
   * Ends running writes at a recorded offset, stops sweeping and assembling, hands everything back to other servers
   * and closes the connections. Close the HTTP server first. A second call waits for the first.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await this.drain()
    await this.#background.stop()
    await this.engine.digests.close()
    await this.#postgres.close()
  }
}

/**
 * Opens a store for @tus/server: brings the tables up to date, joins the other servers on that database, and begins to
 * sweep and assemble in the background. Rejects with `DatabaseTooNew`, `DatabaseUnfit` or what pg says, with an
 * UploadError `storage_full` or `storage_failed` when bytes cannot be stored, and with a TypeError or RangeError for
 * options that cannot work.
 */
export async function openParallelStore(options: OpenParallelStoreOptions): Promise<OpenParallelStore> {
  checkNames(options, OPTIONS)
  checkDatabase(options)
  const expiration = duration(options.expiration)
  const maxSize = size(options.maxSize)
  const log = options.log ?? silent
  const bytes = await openBytes(options.bytes)
  const postgres = await openPostgres({
    connection: options.database,
    ...(options.directDatabase !== undefined && { directConnection: options.directDatabase }),
    ...(options.schema !== undefined && { schema: options.schema }),
    expiration,
    log,
  })
  const policy = { maxSize, assembly: options.assembly ?? 'background' }
  const engine = makeEngine({ registry: postgres.registry, bytes, log, policy })
  return new OpenParallelStore(engine, postgres, expiration, options.inherited)
}

async function openBytes(bytes: OpenParallelStoreOptions['bytes']): Promise<ByteStore> {
  if (
    typeof bytes !== 'object' ||
    bytes === null ||
    !('write' in bytes || typeof bytes.directory === 'string')
  ) {
    throw new TypeError('bytes must be { directory } or a byte store such as new TusByteStore(store).')
  }
  if ('write' in bytes) {
    await bytes.check()
    return bytes
  }
  const store = new DiskByteStore({ directory: bytes.directory, durability: bytes.durability ?? 'strict' })
  await store.open()
  return store
}

function duration(milliseconds: number | null | undefined): number | null {
  if (milliseconds === undefined) return DAY
  if (milliseconds === null || (Number.isSafeInteger(milliseconds) && milliseconds > 0)) return milliseconds
  throw new RangeError(
    `expiration must be a whole number of milliseconds above 0, or null, not ${milliseconds}.`,
  )
}

function size(bytes: number | null | undefined): number | null {
  if (bytes === undefined || bytes === null) return null
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes
  throw new RangeError(`maxSize must be a whole number of bytes above 0, or null, not ${bytes}.`)
}
