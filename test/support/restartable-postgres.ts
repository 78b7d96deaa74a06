import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../stores/postgres/embedded.js'
import type { DatabaseSettings } from './server-process.js'

/** A PostgreSQL of a test's own, which it may stop and kill, and which comes back at the same address. */
export class RestartablePostgres {
  readonly #directory: string
  #postgres: EmbeddedPostgres

  private constructor(directory: string, postgres: EmbeddedPostgres) {
    this.#directory = directory
    this.#postgres = postgres
  }

  static async make(): Promise<RestartablePostgres> {
    const directory = await mkdtemp(join(tmpdir(), 'tributary-pg-'))
    return new RestartablePostgres(directory, await startEmbeddedPostgres({ directory }))
  }

  get connection(): DatabaseSettings {
    return { ...this.#postgres.connection }
  }

  /** As an administrator would: connections are ended, the database shuts down in order. */
  async stop(): Promise<void> {
    await this.#postgres.stop()
  }

  /** As the kernel does when memory runs out. */
  async kill(): Promise<void> {
    process.kill(this.#postgres.pid, 'SIGKILL')
    await this.#postgres.died
  }

  async start(): Promise<void> {
    this.#postgres = await startEmbeddedPostgres({ directory: this.#directory })
  }

  async end(): Promise<void> {
    await this.#postgres.stop()
    await rm(this.#directory, { recursive: true, force: true })
  }
}
