import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'
import { describe, expect, test } from 'vitest'
import { extendServer } from '../../src/tus/extend-server.js'
import type { OpenParallelStore } from '../../stores/parallel/open.js'
import { TusByteStore } from '../../stores/tus/byte-store.js'
import { listen, openStore, serveStock, somewhere } from '../support/embedded-store.js'
import { create, digestAt, head, offsetOf, patch, send } from '../support/kept-connections.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { TusClient } from '../support/tus-client.js'

const CONTENT = seededBytes('inherited', 300_000)
const SENT = 100_000

interface Deployment {
  readonly files: FileStore
  /** Ids of uploads made before the switch. */
  readonly finished: string
  readonly begun: string
}

/** A FileStore that was in use: one upload is finished, one is not. */
async function deployment(naming?: () => string): Promise<Deployment> {
  const { directory } = await somewhere()
  const files = new FileStore({ directory })
  const { endpoint } = await serveStock(files, naming && { namingFunction: naming })
  const [finished, begun] = [await create(endpoint, CONTENT.length), await create(endpoint, CONTENT.length)]
  await patch(finished, 0, CONTENT)
  await patch(begun, 0, CONTENT.subarray(0, SENT))
  return { files, finished: finished.split('/').at(-1) ?? '', begun: begun.split('/').at(-1) ?? '' }
}

/** The same files behind a ParallelStore. */
async function switched({ files }: Deployment): Promise<OpenParallelStore> {
  return openStore(await somewhere(), { bytes: new TusByteStore(files), inherited: files })
}

type Serve = (store: OpenParallelStore) => Promise<string>

const SERVERS: readonly { readonly name: string; readonly serve: Serve }[] = [
  { name: 'stock handlers', serve: async (store) => (await serveStock(store)).endpoint },
  {
    name: 'extendServer',
    serve: async (store) => {
      const server = new Server({ path: '/files', datastore: store, locker: store.locker })
      const { handle } = extendServer(server)
      return `${await listen((request, response) => void handle(request, response))}/files`
    },
  },
]

describe.for(SERVERS)('uploads made before the switch, with $name', ({ serve }) => {
  test.for([
    ['the ids of @tus/server', undefined],
    ['ids of the form of ours', () => randomUUID()],
  ] as const)('keep their URLs, with %s', async ([, naming]) => {
    const before = await deployment(naming)
    const endpoint = await serve(await switched(before))
    const [finished, begun] = [`${endpoint}/${before.finished}`, `${endpoint}/${before.begun}`]
    expect(await offsetOf(finished)).toBe(CONTENT.length)
    expect(await digestAt(finished)).toBe(sha256(CONTENT))
    expect(await offsetOf(begun)).toBe(SENT)
    expect((await patch(begun, SENT + 1, Buffer.from('x'))).status).toBe(409)
    expect((await patch(begun, SENT, CONTENT.subarray(SENT))).status).toBe(204)
    expect(await digestAt(begun)).toBe(sha256(CONTENT))
    expect(sha256(await readFile(join(before.files.directory, before.begun)))).toBe(sha256(CONTENT))
    expect((await send(finished, { method: 'DELETE' })).status).toBe(204)
    expect((await head(finished)).status).toBe(404)
  })

  test('are gone on with by tus-js-client', async () => {
    const before = await deployment()
    const endpoint = await serve(await switched(before))
    const client = new TusClient(CONTENT, { endpoint, uploadUrl: `${endpoint}/${before.begun}` })
    await client.run()
    expect(client.creations).toHaveLength(0)
    expect(await digestAt(`${endpoint}/${before.begun}`)).toBe(sha256(CONTENT))
  })

  test('do not stand in the way of new ones', async () => {
    const before = await deployment()
    const store = await switched(before)
    const endpoint = await serve(store)
    const upload = await new TusClient(CONTENT, { endpoint }).run()
    expect(await digestAt(upload)).toBe(sha256(CONTENT))
    expect((await head(`${endpoint}/${randomUUID()}`)).status).toBe(404)
    expect((await head(`${endpoint}/unknown`)).status).toBe(404)
  })

  test('a blob is not an upload, though it lies in the same store', async () => {
    const before = await deployment()
    const store = await switched(before)
    const endpoint = await serve(store)
    const upload = await new TusClient(CONTENT, { endpoint }).run()
    const extents = await store.engine.registry.extents(upload.split('/').at(-1) ?? '', null)
    const blob = `${endpoint}/${extents?.[0]?.blob.id}`
    if (blob !== upload) expect((await head(blob)).status).toBe(404)
    if (blob !== upload) expect((await send(blob)).status).toBe(404)
    expect(await digestAt(upload)).toBe(sha256(CONTENT))
  })
})

test('with owners, an upload of somebody else does not come in through the old store', async () => {
  const before = await deployment()
  const store = await switched(before)
  const server = new Server({ path: '/files', datastore: store })
  const { handle } = extendServer(server, {
    identify: ({ headers }) => headers['x-user']?.toString() ?? null,
  })
  const endpoint = `${await listen((request, response) => void handle(request, response))}/files`
  // Small enough to be stored before its row, so that its blob has the very id of the upload.
  const created = await send(endpoint, {
    method: 'POST',
    headers: { 'X-User': 'ada', 'Upload-Length': '5', 'Content-Type': 'application/offset+octet-stream' },
    body: 'hello',
  })
  const upload = created.headers.location ?? ''
  expect((await store.engine.registry.extents(upload.split('/').at(-1) ?? '', 'ada'))?.[0]?.blob.id).toBe(
    upload.split('/').at(-1),
  )
  const as = (user: string, method: string) => send(upload, { method, headers: { 'X-User': user } })
  for (const method of ['HEAD', 'GET', 'DELETE']) expect((await as('eve', method)).status).toBe(404)
  expect((await as('ada', 'GET')).body).toBe('hello')
})

test('parallel uploads lie in the files of the old store, and become one', async () => {
  const before = await deployment()
  const store = await switched(before)
  const server = new Server({ path: '/files', datastore: store })
  const { handle } = extendServer(server)
  const endpoint = `${await listen((request, response) => void handle(request, response))}/files`
  const assembled = new Promise((resolve) => store.events.on('upload_assembled', resolve))
  const upload = await new TusClient(CONTENT, { endpoint, parallelUploads: 4 }).run()
  expect(await digestAt(upload)).toBe(sha256(CONTENT))
  await assembled
  expect(await digestAt(upload)).toBe(sha256(CONTENT))
  const extents = await store.engine.registry.extents(upload.split('/').at(-1) ?? '', null)
  expect(extents).toHaveLength(1)
  expect(sha256(await readFile(join(before.files.directory, extents?.[0]?.blob.id ?? '')))).toBe(
    sha256(CONTENT),
  )
})

test('an old store that expires uploads goes on doing so, but never finished ones', async () => {
  const { directory, ...place } = await somewhere()
  const old = new FileStore({ directory, expirationPeriodInMilliseconds: 60_000 })
  const { endpoint } = await serveStock(old)
  const upload = await create(endpoint, 3)
  const id = upload.split('/').at(-1) ?? ''
  const store = await openStore(
    { directory: join(directory, 'new'), ...place },
    { inherited: old, expiration: 1000 },
  )
  const expires = Date.parse((await store.getUpload(id)).creation_date ?? '') + store.getExpiration()
  expect(expires).toBeGreaterThan(Date.now() + 50_000)
  await store.write(Readable.from([Buffer.from('123')]), id, 0)
  expect((await store.getUpload(id)).creation_date).toBeUndefined()
})
