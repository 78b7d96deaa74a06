import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Server, type ServerOptions } from '@tus/server'
import { DataStore } from '@tus/utils'
import { type ExtendedServer, type ExtendOptions, extendServer } from '../../src/tus/extend-server.js'
import type { Engine, Policy } from '../../src/upload/engine.js'
import type { Logger } from '../../src/upload/log.js'
import type { ByteStore, UploadRegistry } from '../../src/upload/ports.js'
import { diskStore, engineOf } from './engine-on-disk.js'
import { MemoryDatabase, type MemoryNodeOptions, type MemoryRegistry } from './memory-registry.js'

export interface StageOptions {
  readonly server?: Partial<ServerOptions>
  readonly datastore?: DataStore
  readonly extend?: ExtendOptions
  readonly policy?: Partial<Policy>
  readonly node?: MemoryNodeOptions
  /** Replaces the registry of the engine by one around it. */
  readonly registry?: (registry: UploadRegistry) => UploadRegistry
  readonly bytes?: (bytes: ByteStore) => ByteStore
  readonly log?: Logger
}

/** An extended server of @tus/server on node:http, over an in-memory registry and files in a directory of its own. */
export class TusStage {
  readonly endpoint: string
  readonly port: number
  readonly db: MemoryDatabase
  readonly registry: MemoryRegistry
  readonly engine: Engine
  readonly tus: Server
  readonly extension: ExtendedServer
  readonly http: HttpServer
  readonly #directory: string

  private constructor(parts: Omit<TusStage, 'endpoint' | 'port' | 'close'> & { directory: string }) {
    this.db = parts.db
    this.registry = parts.registry
    this.engine = parts.engine
    this.tus = parts.tus
    this.extension = parts.extension
    this.http = parts.http
    this.#directory = parts.directory
    this.port = (parts.http.address() as AddressInfo).port
    this.endpoint = `http://127.0.0.1:${this.port}/files`
  }

  static async open(options: StageOptions = {}): Promise<TusStage> {
    const directory = await mkdtemp(join(tmpdir(), 'tributary-tus-'))
    const db = new MemoryDatabase()
    const registry = db.node(options.node)
    const bytes = diskStore(directory)
    const engine = engineOf(options.registry?.(registry) ?? registry, options.bytes?.(bytes) ?? bytes, {
      ...(options.policy && { policy: options.policy }),
      ...(options.log && { log: options.log }),
    })
    const tus = new Server({
      path: '/files',
      datastore: options.datastore ?? new DataStore(),
      ...options.server,
    })
    const extension = extendServer(tus, { engine, ...options.extend })
    const http = createServer({ maxHeaderSize: 1024 * 1024 }, (request, response) => {
      void tus.handle(request, response)
    })
    http.on('checkContinue', (request, response) => void extension.checkContinue(request, response))
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    return new TusStage({ db, registry, engine, tus, extension, http, directory })
  }

  async close(): Promise<void> {
    this.http.closeAllConnections()
    await new Promise<void>((resolve) => this.http.close(() => resolve()))
    await rm(this.#directory, { recursive: true, force: true })
  }
}

/** A listener that keeps what it was told. */
export function recorder() {
  const calls: unknown[][] = []
  return {
    calls,
    listener: (...args: unknown[]) => {
      calls.push(args)
    },
  }
}
