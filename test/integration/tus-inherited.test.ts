import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileStore } from '@tus/file-store'
import { EVENTS, Server } from '@tus/server'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { extendServer } from '../../src/tus/extend-server.js'
import { ParallelStore } from '../../stores/parallel-store.js'
import { RawClient } from '../support/raw-client.js'
import { create, head, openPatch, patch, send } from '../support/raw-tus.js'
import { recorder, TusStage } from '../support/tus-stage.js'

let stage: TusStage
let directory: string
let http: HttpServer
let tus: Server
let endpoint: string
const escaped: unknown[] = []
const note = (error: unknown) => escaped.push(error)

beforeEach(async () => {
  escaped.length = 0
  process.on('uncaughtException', note).on('unhandledRejection', note)
  directory = await mkdtemp(join(tmpdir(), 'tributary-inherited-'))
  stage = await TusStage.open()
  const inherited = new FileStore({ directory })
  const datastore = new ParallelStore({ engine: stage.engine, expiration: null, inherited })
  tus = new Server({ path: '/files', datastore })
  extendServer(tus)
  http = createServer((request, response) => void tus.handle(request, response))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  endpoint = `http://127.0.0.1:${(http.address() as AddressInfo).port}/files`
})
afterEach(async () => {
  http.closeAllConnections()
  http.close()
  await stage.close()
  await rm(directory, { recursive: true, force: true })
  process.off('uncaughtException', note).off('unhandledRejection', note)
  expect(escaped).toEqual([])
})

/** An upload as the server before this one left it. */
async function before(length: number, first: string): Promise<string> {
  const old = new Server({ path: '/files', datastore: new FileStore({ directory }) })
  const answer = await old.handleWeb(
    new Request('http://a/files', {
      method: 'POST',
      headers: {
        'Tus-Resumable': '1.0.0',
        'Upload-Length': String(length),
        'Content-Type': 'application/offset+octet-stream',
        'Content-Length': String(first.length),
      },
      body: first,
    }),
  )
  expect(answer.status).toBe(201)
  return `${endpoint}/${answer.headers.get('location')?.split('/').at(-1)}`
}

test('an upload begun on the store before is finished, read and removed at its old address', async () => {
  const url = await before(10, 'hello')
  expect((await head(`${url}?token=x`)).headers).toMatchObject({
    'upload-offset': '5',
    'upload-length': '10',
  })
  expect((await patch(url, 4, Buffer.from('x'))).status).toBe(409)
  expect((await send(url, { method: 'PATCH', headers: { 'Upload-Offset': '5' }, body: 'x' })).status).toBe(
    415,
  )
  const heard = recorder()
  tus.on(EVENTS.POST_FINISH, heard.listener)
  const patched = await patch(url, 5, Buffer.from('world'))
  expect([patched.status, patched.headers['upload-offset']]).toEqual([204, '10'])
  expect(heard.calls).toHaveLength(1)
  expect((await send(url)).body).toBe('helloworld')
  expect((await send(url, { method: 'DELETE' })).status).toBe(204)
  expect((await head(url)).status).toBe(404)
})

test('new uploads are ours', async () => {
  const url = await create(endpoint, 3)
  expect((await patch(url, 0, Buffer.from('abc'))).status).toBe(204)
  expect((await send(url)).body).toBe('abc')
  expect((await head(`${endpoint}/${'a'.repeat(32)}`)).status).toBe(404)
})

test('a client that leaves in the middle of an old upload harms nobody', async () => {
  const url = await before(1_000_000, 'hello')
  for (let round = 0; round < 5; round++) {
    const { headers } = await head(url)
    const sent = openPatch(url, Number(headers['upload-offset']), 1000)
    await sent.write(Buffer.alloc(100))
    sent.destroy()
  }
  const client = await RawClient.open(Number(new URL(url).port))
  await client.say(`GET ${new URL(url).pathname} HTTP/1.1\r\nHost: a\r\n\r\n`)
  client.reset()
  expect((await head(url)).status).toBe(200)
})
