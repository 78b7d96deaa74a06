import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject, vi } from 'vitest'
import { blobPath } from '../../stores/disk/safe-path.js'
import { codeOf } from '../../stores/postgres/embedded/error.js'
import { type TestSchema, testSchema } from './postgres.js'
import { type DatabaseSettings, ServerProcess } from './server-process.js'

/** How long something that is under way may take to be seen, and how often to look. */
const SEEN = { timeout: 60_000, interval: 5 }

/** Any number of servers on one DATA_DIR and one schema of their own in the database of the run. */
export class ServerGroup {
  readonly dataDir: string
  readonly schema: TestSchema
  readonly #database: DatabaseSettings | string
  readonly #servers: ServerProcess[] = []

  private constructor(dataDir: string, database: DatabaseSettings | string) {
    this.dataDir = dataDir
    this.schema = testSchema()
    this.#database = database
  }

  static async make(): Promise<ServerGroup> {
    return new ServerGroup(await mkdtemp(join(tmpdir(), 'tributary-e2e-')), inject('database'))
  }

  /** Another server; `database` is another way to the same database, `env` more settings. */
  async start(
    database: DatabaseSettings | string = this.#database,
    env: Readonly<Record<string, string>> = {},
  ): Promise<ServerProcess> {
    const { dataDir, schema } = this
    const server = await ServerProcess.start({ dataDir, database, schema: schema.name, env })
    this.#servers.push(server)
    return server
  }

  /** The number a statement answers as `count`; `$s` stands for the schema. */
  async count(sql: string): Promise<number> {
    const [row] = await this.schema.run<{ count: unknown }>(sql)
    return Number(row?.count ?? 0)
  }

  /** Resolves when a server has the right to write to the upload. */
  async untilClaimed(upload: string): Promise<void> {
    await vi.waitFor(async () => {
      const claims = await this.count(`select count(*) from $s.claims where upload_id = '${idOf(upload)}'`)
      if (claims === 0) throw new Error(`nobody writes to ${upload}`)
    }, SEEN)
  }

  /** Resolves when so many bytes of the upload are written down as received, while more of them come in. */
  async untilRecorded(upload: string, bytes: number): Promise<void> {
    await vi.waitFor(async () => {
      const sql = `select max(stop) as count from $s.received where upload_id = '${idOf(upload)}'`
      const recorded = await this.count(sql)
      if (recorded < bytes) throw new Error(`${recorded} of ${bytes} bytes of ${upload} are recorded`)
    }, SEEN)
  }

  /** Resolves when so many bytes of the upload are in files, recorded or not. */
  async untilStored(upload: string, bytes: number): Promise<void> {
    await vi.waitFor(async () => {
      const stored = await this.#stored(upload)
      if (stored < bytes) throw new Error(`${stored} of ${bytes} bytes of ${upload} are stored`)
    }, SEEN)
  }

  async end(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.end()))
    await this.schema.drop()
    await rm(this.dataDir, { recursive: true, force: true })
  }

  async #stored(upload: string): Promise<number> {
    const [last] = await this.schema.run<{ id: string; epoch: string; start: string }>(
      `select b.id, b.epoch, e.start from $s.extents e join $s.blobs b on b.id = e.blob_id
       where e.upload_id = '${idOf(upload)}' order by e.start desc limit 1`,
    )
    if (last === undefined) return 0
    const { file } = blobPath(join(this.dataDir, 'blobs'), { id: last.id, epoch: Number(last.epoch) })
    try {
      return Number(last.start) + (await stat(file)).size
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
      return Number(last.start)
    }
  }
}

/** The upload's id, which ends its URL. */
export function idOf(upload: string): string {
  const id = upload.split('/').at(-1) ?? ''
  if (!/^[0-9a-f-]{36}$/.test(id)) throw new Error(`${upload} does not end with an id`)
  return id
}
