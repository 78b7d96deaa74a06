import { isAbsolute, relative, resolve } from 'node:path'
import type { Knex } from 'knex'
import { DiskByteStore } from '../stores/disk/byte-store.js'
import { type DirectoryOf, DiskPublisher } from '../stores/disk/publisher.js'
import { LOOK_BYTES } from '../stores/disk/reserve.js'
import type { Connection, Database } from '../stores/postgres/database.js'
import { WORKING_ROOM } from '../stores/postgres/embedded/cluster.js'
import { startEmbeddedPostgres } from '../stores/postgres/embedded.js'
import { migrate } from '../stores/postgres/migrate.js'
import { type OpenPostgres, openPostgres } from '../stores/postgres/open.js'
import { makeDataDir } from './command/data-dir.js'
import { starting } from './command/failure.js'
import { whenThereIsRoom } from './command/room-for-connections.js'
import { SupervisedDatabase } from './command/supervised-database.js'
import type { Teardown } from './command/teardown.js'
import type { Config } from './config.js'
import { openObjects } from './open-objects.js'
import { type Engine, makeEngine } from './upload/engine.js'
import type { Logger } from './upload/log.js'
import type { ByteStore, Publisher } from './upload/ports.js'
import type { Upload } from './upload/upload.js'

/** What is opened, and how. */
export interface Opening {
  readonly config: Config
  readonly log: Logger
  /** Aborts when it is to be given up half-way. */
  readonly stop: AbortSignal
  /** Is told how to end each thing that was started. */
  readonly teardown: Teardown
  /** Where the database is that another process of this server looks after. Default: what the settings say. */
  readonly connection?: Connection
}

/** What code can put in the place of what the settings say. */
export interface EngineOverrides {
  /**
   * Called in the transaction that records a new upload, with that upload: rows of one's own stand or fall with it.
   * What it throws refuses the upload.
   */
  readonly onUploadRow?: (trx: Knex.Transaction, upload: Upload) => Promise<void>
  /**
   * Where the bytes go, instead of a directory. It must take bytes at any position. Finished files then do not appear
   * under their names by themselves: `upload_completed` says when there is something to copy.
   */
  readonly bytes?: ByteStore
  /** The directory a finished file appears in: below CHUNKED_UPLOADER_ASSEMBLED_PATH, or absolute. Default: that itself. */
  readonly assembledDirectory?: DirectoryOf
}

export interface OpenedEngine {
  readonly engine: Engine
  readonly database: Database
  /** Resolves when the embedded database is gone for good. */
  readonly lost: Promise<Error>
}

/** Most time each of these may take to end, in ms. */
const LIMITS = { digests: 2_000, objects: 1_000, registry: 5_000, database: 10_000 }

/** Database, registry and byte store, each ended by the teardown. Null when it was to be given up meanwhile. */
export async function openEngine(
  opening: Opening,
  overrides: EngineOverrides = {},
): Promise<OpenedEngine | null> {
  const { config, log, stop, teardown } = opening
  const { connection, lost } = await reachDatabase(opening)
  if (stop.aborted) return null
  const postgres = await onDatabase(config, () => open(opening, connection, overrides))
  teardown.add('the work with the database', LIMITS.registry, () => postgres.close())
  const store = await openStore(opening, overrides, postgres)
  if (stop.aborted) return null
  const { maxSize, assembly, retainPublished } = config
  const followed = config.doChecksum ? config.checksumType : null
  const policy = { maxSize, assembly, retainPublished, followed }
  const { registry } = postgres
  const engine = makeEngine({ registry, ...store, log, policy, processes: config.workers })
  teardown.add('the digests under way', LIMITS.digests, () => engine.digests.close())
  return { engine, database: postgres.database, lost }
}

/** Reaches the database and brings it up to date. `applied` names the steps that took. */
export async function prepareDatabase(
  opening: Omit<Opening, 'stop'>,
): Promise<{ connection: Connection; lost: Promise<Error>; applied: readonly string[] }> {
  const { config } = opening
  const { connection, lost } = await reachDatabase(opening)
  const direct = config.databaseDirectUrl ?? connection
  const applied = await onDatabase(config, () => migrate(direct, config.databaseSchema))
  return { connection, lost, applied }
}

/** The given database, or our own, started for this. */
async function reachDatabase({
  config,
  log,
  teardown,
  connection,
}: Omit<Opening, 'stop'>): Promise<{ connection: Connection; lost: Promise<Error> }> {
  const never = new Promise<Error>(() => undefined)
  const there = connection ?? config.databaseUrl
  if (there !== null) return { connection: there, lost: never }
  const directory = await makeDataDir(config.dataDir)
  const start = () =>
    startEmbeddedPostgres({ directory, log: (message, facts) => log.info({ embedded: facts }, message) })
  const database = await starting(null, () => SupervisedDatabase.start(start, log))
  teardown.add('the embedded database', LIMITS.database, () => database.stop())
  return { connection: { ...database.connection }, lost: database.lost }
}

/** A step of the start that connects to the database. */
function onDatabase<T>({ databaseUrl }: Config, step: () => Promise<T>): Promise<T> {
  if (databaseUrl !== null) return starting('DATABASE_URL: the database cannot be used', step)
  return starting('The embedded database', () => whenThereIsRoom(step))
}

function open(
  { config, log }: Opening,
  connection: Connection,
  { onUploadRow }: EngineOverrides,
): Promise<OpenPostgres> {
  return openPostgres({
    connection,
    ...(config.databaseDirectUrl !== null && { directConnection: config.databaseDirectUrl }),
    schema: config.databaseSchema,
    expiration: config.expiration,
    fragoExpiration: config.fragoExpiration,
    poolSize: config.poolSize,
    ...(onUploadRow && { onUploadRow }),
    log,
  })
}

/** Finished files appear under their names on a disk only. */
async function openStore(
  opening: Opening,
  overrides: EngineOverrides,
  { database, registry }: OpenPostgres,
): Promise<{ bytes: ByteStore; publisher: Publisher | null }> {
  const { objects } = opening.config
  if (overrides.bytes !== undefined) return { bytes: overrides.bytes, publisher: null }
  if (objects === null) return openDisk(opening, overrides)
  const bytes = await openObjects(objects, {
    database,
    epoch: () => registry.epoch,
    processes: opening.config.workers,
  })
  opening.teardown.add('the connections to S3', LIMITS.objects, async () => bytes.close())
  return { bytes, publisher: null }
}

async function openDisk(
  { config, log }: Opening,
  overrides: EngineOverrides,
): Promise<{ bytes: ByteStore; publisher: Publisher | null }> {
  await makeDataDir(config.dataDir)
  const { blobsDirectory, assembledDirectory, durability, assembleReadSize, workers } = config
  // A process hears of what the others write no sooner than it looks.
  const reserve = config.databaseUrl === null ? WORKING_ROOM + (workers - 1) * LOOK_BYTES : 0
  const bytes = new DiskByteStore({
    directory: blobsDirectory,
    durability,
    reserve,
    assembleBlockBytes: assembleReadSize,
  })
  await starting(subjectOf('CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH', config), () => bytes.open())
  if (config.fragoPaths.length === 0) return { bytes, publisher: null }
  const publisher = new DiskPublisher(
    {
      directory: assembledDirectory,
      blobs: blobsDirectory,
      durability,
      reserve,
      copyBlockBytes: assembleReadSize,
    },
    overrides.assembledDirectory,
  )
  const { copies } = await starting(subjectOf('CHUNKED_UPLOADER_ASSEMBLED_PATH', config), () =>
    publisher.open(),
  )
  if (copies) {
    log.warn(
      { directory: assembledDirectory },
      'finished files cannot be linked here from where uploads are stored; each is copied, and takes its room twice',
    )
  }
  return { bytes, publisher }
}

/** The setting to blame for a directory: its own, where it was given. */
function subjectOf(
  name: 'CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH' | 'CHUNKED_UPLOADER_ASSEMBLED_PATH',
  { dataDir, blobsDirectory, assembledDirectory }: Config,
): string {
  const directory = name === 'CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH' ? blobsDirectory : assembledDirectory
  const below = relative(resolve(dataDir), resolve(directory))
  return below.startsWith('..') || isAbsolute(below) ? name : 'DATA_DIR'
}
