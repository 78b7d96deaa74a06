import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server } from '@tus/server'
import type { DataStore } from '@tus/utils'
import { inject, onTestFinished } from 'vitest'
import {
  type OpenParallelStore,
  type OpenParallelStoreOptions,
  openParallelStore,
} from '../../stores/parallel/open.js'
import { scratchDirectory } from './embedded-scratch.js'
import { testSchema } from './postgres.js'

/** Where stores that share uploads keep them: a schema and a directory, both gone with the test. */
export interface Place {
  readonly schema: string
  readonly directory: string
}

export async function somewhere(): Promise<Place> {
  const schema = testSchema()
  onTestFinished(() => schema.drop())
  return { schema: schema.name, directory: await scratchDirectory() }
}

/** A store as somebody who embeds it opens it; closed when the test is over. */
export async function openStore(
  place: Place,
  options: Partial<OpenParallelStoreOptions> = {},
): Promise<OpenParallelStore> {
  const store = await openParallelStore({
    database: inject('database'),
    schema: place.schema,
    bytes: { directory: place.directory, durability: 'relaxed' },
    ...options,
  })
  onTestFinished(() => store.close())
  return store
}

/** A server of @tus/server with its own handlers, on a port of its own. Resolves with the URL of `/files`. */
export async function serveStock(
  datastore: DataStore,
  options: Partial<ConstructorParameters<typeof Server>[0]> = {},
): Promise<{ server: Server; endpoint: string }> {
  const server = new Server({ path: '/files', datastore, ...options })
  const origin = await listen((request, response) => {
    void server.handle(request, response)
  })
  return { server, endpoint: `${origin}/files` }
}

/** Listens on a free port until the test is over. Resolves with the origin. */
export async function listen(listener: RequestListener): Promise<string> {
  const http = createServer(listener)
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  onTestFinished(async () => {
    http.closeAllConnections()
    await new Promise((resolve) => http.close(resolve))
  })
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`
}
