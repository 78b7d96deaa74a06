import { randomUUID } from 'node:crypto'
import type { EmbeddedConditions, EmbeddedPostgres } from '../embedded.js'
import type { Binaries } from './binaries.js'
import { clusterOwner, giveDataTo, makeCluster } from './cluster.js'
import { EmbeddedPostgresError, inUse } from './error.js'
import { launch } from './launch.js'
import { tryOwnerLock } from './owner-lock.js'
import { Ownership } from './ownership.js'
import type { Patience } from './patience.js'
import type { PidFile } from './pid-file.js'
import { endPostmaster, findLeftover } from './postmaster.js'
import { removePrivateDirectory } from './private-directory.js'
import { isAlive, isPostgresOf } from './process-table.js'
import { chooseRunner } from './runner.js'
import { connectionTo, DEFAULT_TRANSPORT } from './transport.js'

export interface Start {
  readonly dataDirectory: string
  readonly binaries: Binaries
  readonly conditions: EmbeddedConditions
  readonly patience: Patience
  readonly log: (message: string, facts?: object) => void
}

/**
 * Adopts the postmaster that runs on the data directory, or launches one. Only the holder of the turn may.
 */
export async function startInTurn(start: Start): Promise<EmbeddedPostgres> {
  let launched: PidFile | undefined
  try {
    for (;;) {
      const { running, stale } = await findLeftover(start.dataDirectory)
      if (running === undefined) launched = await launchNew(start, stale)
      const file = running ?? launched
      const owned = await (file === undefined ? waitForLock(start) : own(start, file))
      if (owned === undefined) continue
      const how = launched ? 'the embedded Postgres runs' : 'adopted a running embedded Postgres'
      start.log(how, { pid: owned.pid })
      return owned
    }
  } catch (error) {
    // Launched in vain, unless somebody was quicker to own it: another container, where our turn means nothing.
    const taken = error instanceof EmbeddedPostgresError && error.code === 'data_directory_in_use'
    if (launched && !taken) await endPostmaster(launched.pid, start.dataDirectory, start.binaries)
    throw error
  }
}

async function waitForLock({ dataDirectory, patience }: Start): Promise<undefined> {
  await patience.wait('an old Postgres still holds the data directory', () => stillThere(dataDirectory))
}

/** Undefined while the data directory is still locked. */
async function launchNew(start: Start, stale: PidFile | undefined): Promise<PidFile | undefined> {
  const { dataDirectory, binaries, conditions, patience, log } = start
  const owner = await clusterOwner(dataDirectory)
  const runner = await chooseRunner(binaries, owner, conditions.methods)
  if (owner === undefined) {
    log('making the embedded database', { method: runner.method })
    await makeCluster(dataDirectory, binaries, runner)
  } else if (await giveDataTo(dataDirectory, runner)) {
    log('changed the owner of the embedded database', { method: runner.method })
  }
  const transport = conditions.transport ?? DEFAULT_TRANSPORT
  return launch({ dataDirectory, binaries, runner, transport, stalePid: stale?.pid }, patience)
}

/** Undefined when the postmaster has to be looked for again. */
async function own(start: Start, file: PidFile): Promise<EmbeddedPostgres | undefined> {
  const { dataDirectory, patience, log } = start
  if (file.status === 'starting') {
    await patience.pause('the database is recovering')
    return undefined
  }
  if (file.status === '') {
    // So early in its start that it has not yet written where it listens.
    await patience.wait('another Postgres is starting', () => stillThere(dataDirectory))
    return undefined
  }
  const tag = randomUUID()
  try {
    const connection = await connectionTo(dataDirectory, file)
    const attempt = await tryOwnerLock(connection, tag)
    if ('holder' in attempt) return await refusedBy(attempt.holder?.pid, file.pid, patience)
    if (!(await isPostgresOf(file.pid, dataDirectory))) {
      await attempt.lock.release()
      throw outOfSight(file.pid)
    }
    const ownership = new Ownership({ connection, dataDirectory, pid: file.pid, tag, log }, attempt.lock)
    return { connection, pid: file.pid, died: ownership.lost, stop: stopper(start, ownership, file) }
  } catch (error) {
    if (error instanceof EmbeddedPostgresError) throw error
    await patience.wait('an old Postgres is shutting down', () => stillThere(dataDirectory, error))
    return undefined
  }
}

async function refusedBy(
  holder: number | undefined,
  postmaster: number,
  patience: Patience,
): Promise<undefined> {
  if (holder !== undefined && (await isAlive(holder))) throw inUse(holder)
  // Its owner was killed a moment ago, and Postgres has not yet noticed that the connection is gone.
  await patience.wait('the old server is ending', () => inUse(holder ?? postmaster))
}

function stopper(
  { dataDirectory, binaries }: { readonly dataDirectory: string; readonly binaries: Binaries },
  ownership: Ownership,
  { pid, socketDirectory }: PidFile,
): () => Promise<void> {
  const stop = async (): Promise<void> => {
    ownership.expectEnd()
    // Another server has it, or it is dead: nothing of ours is left to end.
    if (!ownership.held) return
    await endPostmaster(pid, dataDirectory, binaries)
    await ownership.release()
    await removePrivateDirectory(socketDirectory)
  }
  let stopped: Promise<void> | undefined
  return () => {
    stopped ??= stop()
    return stopped
  }
}

function stillThere(dataDirectory: string, cause?: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'embedded_postgres_failed',
    `An old Postgres is still at work in ${dataDirectory} and does not end; end it, or set DATABASE_URL`,
    { cause },
  )
}

function outOfSight(pid: number): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'embedded_postgres_failed',
    `A Postgres (pid ${pid}) runs on DATA_DIR out of this process's sight, perhaps in another container: end it, ` +
      'or set DATABASE_URL',
  )
}
