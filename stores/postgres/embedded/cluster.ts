import { randomBytes } from 'node:crypto'
import { chown, lchown, mkdir, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Binaries } from './binaries.js'
import { codeOf, EmbeddedPostgresError, messageOf } from './error.js'
import { type Account, type Runner, runToEnd } from './runner.js'

export const USER = 'tributary'
/** For TCP, where nothing else guards the door. Inside the data directory, which is 0700. */
export const PASSWORD_FILE = 'tributary.password'

/**
 * The WAL is kept small for the room it takes: 8 MB at first, 32 MB at 1500 creations a second (1.2 KB of WAL each),
 * where no difference in speed to PostgreSQL's own 16 MB segments and 1 GB was measured. A segment that finds no room
 * is the end of the database, not of a statement: hence small ones.
 */
const WAL_SEGMENT_MB = 4
const WAL_SETTINGS: Readonly<Record<string, string>> = {
  max_wal_size: '32MB',
  min_wal_size: '16MB',
  // So small a WAL is meant, and no reason for a line in the log at each checkpoint.
  checkpoint_warning: '0',
}

/**
 * Free space the database needs to go on working beside uploads that take all there is: the 24 MB its WAL may still
 * grow by, and 40 for rows, for its lock files at a start, and for recovery after a crash. Measured on a disk that
 * uploads had filled: 188 000 more creations before the database had no room.
 */
export const WORKING_ROOM = 64 * 1024 * 1024

const DRAFT_PREFIX = 'postgres.new.'

/** The uid that owns the data directory; undefined when there is no database yet. */
export async function clusterOwner(dataDirectory: string): Promise<number | undefined> {
  try {
    await stat(join(dataDirectory, 'PG_VERSION'))
    return (await stat(dataDirectory)).uid
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT') return undefined
    if (code !== 'EACCES') throw error
    throw new EmbeddedPostgresError(
      'embedded_postgres_cannot_run',
      `The database in ${dataDirectory} belongs to another user: run the server as that user, give another ` +
        'DATA_DIR, or set DATABASE_URL',
      { cause: error },
    )
  }
}

/**
 * Makes the database beside its place and renames it there, so that a start that is killed leaves no half
 * database: the place holds a whole one or none. initdb syncs what it wrote before the rename (measured: 0.50
 * s, of which syncing is too little to see; --no-sync gained nothing). Only the holder of the turn calls
 * this, so every draft it finds is dead.
 */
export async function makeCluster(dataDirectory: string, binaries: Binaries, runner: Runner): Promise<void> {
  const directory = dirname(dataDirectory)
  await removeDrafts(directory)
  // Ours and 0700: what initdb makes for a moment as another account is out of that account's other
  // processes' reach.
  const draft = join(directory, `${DRAFT_PREFIX}${randomBytes(6).toString('hex')}`)
  await mkdir(draft, { mode: 0o700 })
  try {
    const data = await initialize(draft, binaries, runner)
    if (runner.dataOwner) await giveTo(data, runner.dataOwner)
    await rename(data, dataDirectory)
    await sync(directory)
  } catch (error) {
    const code = codeOf(error)
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOTDIR') throw error
    throw new EmbeddedPostgresError(
      'embedded_postgres_failed',
      `${dataDirectory} exists and holds no database: move it away, or give another DATA_DIR`,
      { cause: error },
    )
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

async function initialize(draft: string, binaries: Binaries, runner: Runner): Promise<string> {
  const data = join(draft, 'data')
  const password = join(draft, PASSWORD_FILE)
  await mkdir(data, { mode: 0o700 })
  await writeFile(password, randomBytes(24).toString('base64url'), { mode: 0o600 })
  if (runner.initOwner) await chown(data, runner.initOwner.uid, runner.initOwner.gid)
  try {
    await runToEnd(runner.initialize(binaries.initdb, initdbArguments(data, password)))
  } catch (error) {
    throw new EmbeddedPostgresError('embedded_postgres_failed', `initdb failed: ${messageOf(error)}`, {
      cause: error,
    })
  }
  await rename(password, join(data, PASSWORD_FILE))
  await sync(join(data, PASSWORD_FILE))
  await sync(data)
  return data
}

/**
 * The builtin C.UTF-8 sorts by code point and is the same on every machine: a collation of the operating
 * system or of ICU may change under the indexes with an update.
 */
function initdbArguments(data: string, password: string): string[] {
  return [
    ...['-D', data, '-U', USER, '--encoding=UTF8', '--locale=C'],
    ...['--locale-provider=builtin', '--builtin-locale=C.UTF-8'],
    ...['--auth-local=trust', '--auth-host=scram-sha-256', `--pwfile=${password}`],
    `--wal-segsize=${WAL_SEGMENT_MB}`,
    ...Object.entries(WAL_SETTINGS).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
  ]
}

async function removeDrafts(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    // An initdb that outlived its starter may still be adding files for a moment, hence the retries.
    if (name.startsWith(DRAFT_PREFIX)) await rm(join(directory, name), { recursive: true, maxRetries: 10 })
  }
}

/** A database made one way and started the other: Postgres accepts only a data directory that is its own. */
export async function giveDataTo(dataDirectory: string, runner: Runner): Promise<boolean> {
  const owner = runner.dataOwner
  if (owner === undefined || (await stat(dataDirectory)).uid === owner.uid) return false
  await giveTo(dataDirectory, owner)
  return true
}

/** The directory itself comes last: as long as it has the old owner, the next start begins again. */
async function giveTo(directory: string, owner: Account): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await giveTo(path, owner)
    else await lchown(path, owner.uid, owner.gid)
  }
  await chown(directory, owner.uid, owner.gid)
}

async function sync(path: string): Promise<void> {
  // Windows has no handle for a directory to sync.
  if (process.platform === 'win32') return
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
