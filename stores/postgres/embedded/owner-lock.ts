import pg from 'pg'
import type { Connection } from './transport.js'

/** The lock that says which server owns the embedded database: the letters "trib" and "ownr". */
const LOCK = [0x74726962, 0x6f776e72] as const

const CONNECT_MS = 5_000

const APPLICATION_NAME = /^tributary owner (?<pid>\d+) (?<tag>\S+)$/

export interface OwnerLock {
  /** Resolves when the connection, and with it the lock, is gone. */
  readonly lost: Promise<void>
  release(): Promise<void>
}

export interface Holder {
  /** The server process that holds the lock. */
  readonly pid: number
  readonly tag: string
}

/** The lock; else who has it; undefined when that ended between the two questions. */
export type LockAttempt = { readonly lock: OwnerLock } | { readonly holder: Holder | undefined }

/**
 * Tries the session advisory lock. Its connection dies with this process, so a lock that can be had has no
 * living owner, and it names this process, so that whoever is refused can say by whom.
 *
 * @param tag tells this start apart from every other, also of the same process
 */
export async function tryOwnerLock(connection: Connection, tag: string): Promise<LockAttempt> {
  const client = new pg.Client({
    ...connection,
    application_name: `tributary owner ${process.pid} ${tag}`,
    // A frozen postmaster still has a backlog that takes connections.
    connectionTimeoutMillis: CONNECT_MS,
  })
  // Whatever ends the connection also emits 'end', which is what is listened to.
  client.on('error', () => undefined)
  const lost = new Promise<void>((resolve) => client.once('end', resolve))
  await client.connect()
  try {
    const { rows } = await client.query<{ taken: boolean }>('SELECT pg_try_advisory_lock($1, $2) AS taken', [
      ...LOCK,
    ])
    if (rows[0]?.taken !== true) return await refused(client)
  } catch (error) {
    await client.end()
    throw error
  }
  unref(client)
  return { lock: { lost, release: () => client.end() } }
}

/**
 * A process that has nothing else to do may end; the database it leaves is adopted by the next start.
 * (`unref` is documented by pg, and missing from its types.)
 */
function unref(client: pg.Client & { unref?: () => void }): void {
  client.unref?.()
}

async function refused(client: pg.Client): Promise<LockAttempt> {
  const holder = await findHolder(client)
  await client.end()
  return { holder }
}

async function findHolder(client: pg.Client): Promise<Holder | undefined> {
  const { rows } = await client.query<{ application_name: string }>(
    `SELECT application_name
       FROM pg_locks JOIN pg_stat_activity USING (pid)
      WHERE locktype = 'advisory' AND classid = $1 AND objid = $2 AND objsubid = 2 AND granted`,
    [...LOCK],
  )
  const { pid, tag } = APPLICATION_NAME.exec(rows[0]?.application_name ?? '')?.groups ?? {}
  return pid === undefined || tag === undefined ? undefined : { pid: Number(pid), tag }
}
