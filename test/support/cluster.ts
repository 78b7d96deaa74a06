import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject, vi } from 'vitest'
import { freePort } from '../../src/command/free-port.js'
import { type TestSchema, testSchema } from './postgres.js'
import { type S3Server, startS3 } from './s3-server.js'
import { idOf } from './server-group.js'
import { type DatabaseSettings, ServerProcess } from './server-process.js'

const RECORDED = { timeout: 60_000, interval: 20 }
const ASSEMBLED = { timeout: 60_000, interval: 50 }

export interface ClusterOptions {
  readonly database?: DatabaseSettings | string
  /** Where the nodes find S3, if not at the server itself. */
  readonly endpoint?: (server: S3Server) => Promise<string>
  readonly env?: Readonly<Record<string, string>>
}

/** Nodes on S3 and one database, each at a port that it keeps when it is started again. None has a disk of its own. */
export class Cluster {
  readonly s3: S3Server
  readonly schema: TestSchema
  readonly nodes: ServerProcess[] = []
  readonly ports: number[] = []
  readonly #directory: string
  readonly #options: ClusterOptions
  readonly #endpoint: string

  private constructor(s3: S3Server, directory: string, endpoint: string, options: ClusterOptions) {
    this.s3 = s3
    this.schema = testSchema()
    this.#directory = directory
    this.#endpoint = endpoint
    this.#options = options
  }

  static async start(count: number, options: ClusterOptions = {}): Promise<Cluster> {
    const s3 = await startS3()
    const directory = await mkdtemp(join(tmpdir(), 'tributary-cluster-'))
    const cluster = new Cluster(s3, directory, (await options.endpoint?.(s3)) ?? s3.endpoint, options)
    try {
      for (let index = 0; index < count; index++) await cluster.startNode(index)
      return cluster
    } catch (error) {
      await cluster.end()
      throw error
    }
  }

  /** Starts a node, or the successor of one that ended. */
  async startNode(index: number, env: Readonly<Record<string, string>> = {}): Promise<ServerProcess> {
    this.ports[index] ??= await freePort('127.0.0.1')
    const node = await ServerProcess.start({
      dataDir: this.#directory,
      database: this.#options.database ?? inject('database'),
      schema: this.schema.name,
      env: {
        ...{ PORT: String(this.ports[index]), STORE: 's3', BEHIND_PROXY: 'true' },
        ...{ S3_ENDPOINT: this.#endpoint, S3_BUCKET: this.s3.bucket, S3_PREFIX: `${this.schema.name}/` },
        ...this.s3.env,
        ...this.#options.env,
        ...env,
      },
    })
    this.nodes[index] = node
    return node
  }

  /** The node of that number, which must be there. */
  node(index: number): ServerProcess {
    const node = this.nodes[index]
    if (node === undefined) throw new Error(`there is no node ${index}`)
    return node
  }

  /** Resolves when so many bytes of an upload are written down as received, while more of them come in. */
  async untilRecorded(upload: string, bytes: number): Promise<void> {
    await vi.waitFor(async () => {
      const sql = `select coalesce(max(stop), 0) as stop from $s.received where upload_id = '${idOf(upload)}'`
      const [row] = await this.schema.run<{ stop: string }>(sql)
      if (Number(row?.stop ?? 0) < bytes) throw new Error(`${row?.stop} of ${bytes} bytes are recorded`)
    }, RECORDED)
  }

  /** Resolves when no final waits to become one object. */
  async untilAssembled(): Promise<void> {
    await vi.waitFor(async () => {
      const [row] = await this.schema.run<{ count: string }>('select count(*) from $s.assemblies')
      if (row?.count !== '0') throw new Error(`${row?.count} finals are not one object yet`)
    }, ASSEMBLED)
  }

  async end(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.end()))
    await this.schema.drop()
    await this.s3.stop()
    await rm(this.#directory, { recursive: true, force: true })
  }
}
