import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AppOptions, createApp } from '../../src/app.js'
import type { ChecksumSettings } from '../../src/frago/site.js'
import { UploadServer } from '../../src/http/server.js'
import { type Engine, makeEngine, type Policy } from '../../src/upload/engine.js'
import type { UploadEventName } from '../../src/upload/events.js'
import { isReservedName } from '../../src/upload/filename.js'
import { type Logger, silent } from '../../src/upload/log.js'
import type { ByteStore, Publisher, UploadRegistry } from '../../src/upload/ports.js'
import type { Upload } from '../../src/upload/upload.js'
import { DiskByteStore } from '../../stores/disk/byte-store.js'
import { type FileCalls, fileCalls } from '../../stores/disk/file-calls.js'
import { DiskPublisher } from '../../stores/disk/publisher.js'
import type { OpenPostgres, PostgresOptions } from '../../stores/postgres/open.js'
import { unsynced } from './crash/mortal-calls.js'
import { FragoClient } from './frago-client.js'
import { type TestSchema, testSchema } from './postgres.js'

export interface FragoServerOptions {
  readonly checksum?: Partial<ChecksumSettings>
  readonly policy?: Partial<Policy>
  readonly postgres?: Partial<PostgresOptions>
  /** Calls on the files of blobs. Default: the system's own without syncing, which only power cuts tell apart. */
  readonly fs?: FileCalls
  readonly bytes?: (bytes: ByteStore) => ByteStore
  readonly registry?: (registry: UploadRegistry) => UploadRegistry
  readonly publisher?: (publisher: Publisher) => Publisher
  readonly app?: Partial<AppOptions>
}

/** What a listener was told. */
export interface Told {
  readonly event: UploadEventName
  readonly upload: Upload
  readonly start?: number
  readonly stop?: number
}

const EVENTS = [
  'upload_started',
  'chunk_received',
  'upload_completed',
  'checksum_failed',
  'upload_assembled',
  'upload_expired',
  'upload_terminated',
] as const satisfies readonly UploadEventName[]

/** A directory and a schema that any number of servers share. */
export class FragoStage {
  readonly schema: TestSchema = testSchema()
  readonly directory: string
  readonly #servers: FragoServer[] = []

  private constructor(directory: string) {
    this.directory = directory
  }

  static async open(): Promise<FragoStage> {
    return new FragoStage(await mkdtemp(join(tmpdir(), 'tributary-frago-')))
  }

  get blobs(): string {
    return join(this.directory, 'blobs')
  }

  get assembled(): string {
    return join(this.directory, 'assembled')
  }

  /** Another server on the same database and disk. */
  async serve(options: FragoServerOptions = {}): Promise<FragoServer> {
    const server = await FragoServer.open(this, options)
    this.#servers.push(server)
    return server
  }

  /** Published files, by name; what is not finished yet is nobody's to see. */
  async published(): Promise<Readonly<Record<string, string>>> {
    const names = (await readdir(this.assembled)).filter((name) => !isReservedName(name)).sort()
    const read = async (name: string) => [name, await readFile(join(this.assembled, name), 'latin1')] as const
    return Object.fromEntries(await Promise.all(names.map(read)))
  }

  /** Sizes of all files of blobs. */
  async blobSizes(): Promise<readonly number[]> {
    const entries = await readdir(this.blobs, { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile())
    return Promise.all(files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size))
  }

  async count(sql: string): Promise<number> {
    const [row] = await this.schema.run<{ count: unknown }>(`select count(*) as count from ${sql}`)
    return Number(row?.count)
  }

  async close(): Promise<void> {
    for (const server of this.#servers) await server.close()
    await this.schema.drop()
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** The app of both protocols on a port, over PostgreSQL and disk. */
export class FragoServer {
  readonly engine: Engine
  readonly postgres: OpenPostgres
  readonly port: number
  /** All that listeners were told, in order. */
  readonly told: Told[] = []
  readonly #app: ReturnType<typeof createApp>
  readonly #http: UploadServer
  #closed: Promise<void> | null = null

  private constructor(
    parts: Pick<FragoServer, 'engine' | 'postgres' | 'port'>,
    app: ReturnType<typeof createApp>,
    http: UploadServer,
  ) {
    this.engine = parts.engine
    this.postgres = parts.postgres
    this.port = parts.port
    this.#app = app
    this.#http = http
    for (const event of EVENTS) {
      this.engine.events.on(event, (facts) => void this.told.push({ event, ...facts }))
    }
  }

  static async open(stage: FragoStage, options: FragoServerOptions): Promise<FragoServer> {
    const log: Logger = silent
    const checksum = { type: 'md5' as const, required: true, ...options.checksum }
    const postgres = await stage.schema.open(options.postgres)
    const fs = options.fs ?? { ...fileCalls, ...unsynced }
    const bytes = new DiskByteStore({ directory: stage.blobs, durability: 'strict', fs })
    await bytes.open()
    const publisher = new DiskPublisher({
      directory: stage.assembled,
      blobs: stage.blobs,
      durability: 'strict',
    })
    await publisher.open()
    const engine = makeEngine({
      registry: options.registry?.(postgres.registry) ?? postgres.registry,
      bytes: options.bytes?.(bytes) ?? bytes,
      publisher: options.publisher?.(publisher) ?? publisher,
      log,
      policy: {
        maxSize: null,
        assembly: 'background',
        followed: checksum.required ? checksum.type : null,
        ...options.policy,
      },
    })
    const app = createApp(
      { engine },
      {
        tusPath: '/files',
        idleTimeout: 10_000,
        frago: { paths: ['/api/upload', '/upload'], checksum },
        ...options.app,
      },
    )
    const http = new UploadServer(app, log)
    const { port } = await http.open('127.0.0.1', 0)
    return new FragoServer({ engine, postgres, port }, app, http)
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Where tus uploads are created. */
  get files(): string {
    return `${this.origin}/files`
  }

  client(headers: Readonly<Record<string, string>> = {}): FragoClient {
    return new FragoClient(`${this.origin}/api/upload/`, headers)
  }

  /** What was told of one upload, in order. */
  toldOf(id: string): readonly Told[] {
    return this.told.filter(({ upload }) => upload.id === id)
  }

  /** Names of the events of one upload, in order. */
  eventsOf(id: string): readonly UploadEventName[] {
    return this.toldOf(id).map(({ event }) => event)
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const drained = this.#http.drain()
    await this.#app.drain()
    this.#http.closeAllConnections()
    await drained
    await this.engine.digests.close()
    await this.postgres.close()
  }
}
