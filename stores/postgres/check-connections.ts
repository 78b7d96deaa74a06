import type { Logger } from '../../src/upload/log.js'
import type { Database } from './database.js'
import { DatabaseUnfit } from './migrate.js'

/** What a connection of the pool says of itself. */
export interface SessionSettings {
  readonly commits: string
  /** `statement_timeout` in ms. */
  readonly timeout: string
  /** Who set it: `client` when it was asked for with the connection, as `connect` does. */
  readonly source: string
  readonly role: string
}

const LOOK = `
  select current_setting('synchronous_commit') as commits, setting as timeout, source, current_user as role
  from pg_settings where name = 'statement_timeout'`

/**
 * Asks at the start whether the connections are what the options say, and whether commits are waited for. Throws
 * `DatabaseUnfit`, or what pg says.
 */
export async function checkConnections(database: Database, log: Logger): Promise<void> {
  const settings = await look(database)
  if (!database.pooled) {
    if (settings.source !== 'client') throw poolerUnannounced()
    return
  }
  // Nothing can be set for one connection behind a pooler: acknowledged commits must be safe without our doing (law 3).
  if (settings.commits === 'off') throw commitsNotWaitedFor(settings.role)
  if (settings.timeout === '0') log.warn({}, noTimeout(settings.role))
}

async function look(database: Database): Promise<SessionSettings> {
  try {
    const { rows } = (await database.knex.raw(LOOK)) as { rows: [SessionSettings] }
    return rows[0]
  } catch (error) {
    // pgbouncer: "unsupported startup parameter: statement_timeout". Its code (08P01) says little: all its errors have it.
    if (error instanceof Error && /startup parameter/.test(error.message)) throw poolerUnannounced(error)
    throw error
  }
}

function poolerUnannounced(cause?: unknown): DatabaseUnfit {
  return new DatabaseUnfit(
    'A pooler such as pgbouncer stands before this database; give DATABASE_DIRECT_URL (when embedding: ' +
      'directDatabase) too, a way around it, or the same once more where there is none.',
    { cause },
  )
}

function commitsNotWaitedFor(role: string): DatabaseUnfit {
  return new DatabaseUnfit(
    `Through the pooler synchronous_commit is off, and uploads that were acknowledged could be lost; run ` +
      `"${alterRole(role, 'synchronous_commit', 'on')}" and have the pooler reconnect.`,
  )
}

function noTimeout(role: string): string {
  return (
    'through the pooler statements have no time limit, and one that hangs would hold its locks; ' +
    `run "${alterRole(role, 'statement_timeout', "'30s'")}" and have the pooler reconnect`
  )
}

function alterRole(role: string, name: string, value: string): string {
  return `alter role ${/^[a-z_][a-z0-9_]*$/.test(role) ? role : `"${role.replaceAll('"', '""')}"`} set ${name} = ${value}`
}
