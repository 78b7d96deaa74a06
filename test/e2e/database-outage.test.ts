import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Answer,
  create,
  createPart,
  downloadedDigest,
  head,
  offsetOf,
  openPatch,
  patch,
  send,
} from '../support/raw-tus.js'
import { RestartablePostgres } from '../support/restartable-postgres.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { ServerProcess } from '../support/server-process.js'
import { TusClient } from '../support/tus-client.js'

const KIB = 1024

/** Outages, one shorter and one longer than the lease of 4 s, and one longer than the 10 s that HEAD waits. */
const SHORT_MS = 1_500
const LONG_MS = 6_000

let dataDir: string
let postgres: RestartablePostgres
let server: ServerProcess

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tributary-outage-'))
  postgres = await RestartablePostgres.make()
  server = await ServerProcess.start({ dataDir, database: postgres.connection })
})

afterAll(async () => {
  await server?.end()
  await postgres?.end()
  await rm(dataDir, { recursive: true, force: true })
})

test('while the database is away HEAD waits and others are told to come back', async () => {
  const content = seededBytes('away', 100 * KIB)
  const upload = await create(server.endpoint, content.length)
  await patch(upload, 0, content.subarray(0, 60 * KIB))
  const part = await createPart(server.endpoint, 0)

  await postgres.stop()
  let came = false
  const waiting = head(upload).finally(() => {
    came = true
  })
  const answers = {
    creation: await send(server.endpoint, { method: 'POST', headers: { 'Upload-Length': '5' } }),
    'creation with data': await send(server.endpoint, {
      method: 'POST',
      headers: { 'Upload-Length': '5', 'Content-Type': 'application/offset+octet-stream' },
      body: '12345',
    }),
    final: await send(server.endpoint, { method: 'POST', headers: { 'Upload-Concat': `final;${part}` } }),
    PATCH: await patch(upload, 60 * KIB, content.subarray(60 * KIB)),
    DELETE: await send(upload, { method: 'DELETE' }),
    GET: await send(upload),
  }
  expect(statuses(answers)).toEqual(Object.fromEntries(Object.keys(answers).map((name) => [name, 503])))
  for (const answer of Object.values(answers))
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
  expect((await send(new URL('/healthz', server.endpoint).href)).status).toBe(200)
  expect((await send(new URL('/readyz', server.endpoint).href)).status).toBe(503)
  expect(came).toBe(false)

  await postgres.start()
  const answer = await waiting
  expect([answer.status, answer.headers['upload-offset']]).toEqual([200, String(60 * KIB)])
  expect((await patch(upload, 60 * KIB, content.subarray(60 * KIB))).status).toBe(204)
  expect(await downloadedDigest(upload)).toBe(sha256(content))
  expect((await send(new URL('/readyz', server.endpoint).href)).status).toBe(200)
})

test('when it stays away HEAD says 423 in the end, and a PATCH that waited 503', async () => {
  const upload = await create(server.endpoint, 10)
  const slow = await slowUpload('given up')
  await postgres.stop()
  const began = performance.now()
  await slow.sendRest()
  const answer = await head(upload)
  const waited = performance.now() - began
  const refused = await slow.request.answer
  await postgres.start()
  expect(refused.status).toBe(503)
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
  expect(answer.status).toBe(423)
  expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
  expect(waited).toBeGreaterThan(9_000)
  expect(await offsetOf(upload)).toBe(0)
  await slow.expectResumable()
})

describe.for([
  ['a short restart', SHORT_MS, 'stop'],
  ['a restart longer than the lease', LONG_MS, 'stop'],
  ['a crash', SHORT_MS, 'kill'],
  ['a crash and a recovery longer than the lease', LONG_MS, 'kill'],
] as const)('%s', ([name, outage, how]) => {
  test('costs uploads under way no byte', async () => {
    const content = seededBytes(name, 20 * 1024 * KIB)
    const clients = [1, 4].map((parallelUploads) => {
      const chunkSize = 512 * KIB
      // HEAD may take its 10 s: the client must not give up before.
      return new TusClient(content, {
        endpoint: server.endpoint,
        parallelUploads,
        chunkSize,
        stallsAfter: 20_000,
      })
    })
    const slow = await slowUpload(`${name}, slow`)
    const left = await slowUpload(`${name}, left`)

    const uploads = clients.map((client) => client.run())
    let finished = 0
    for (const upload of uploads) void upload.then(() => finished++)
    await Promise.race(clients.map((client) => client.hasSent(content.length / 4)))
    await postgres[how]()
    await Promise.all([slow.sendRest(), left.sendAndLeave()])
    await sleep(outage)
    expect(finished).toBe(0)
    await postgres.start()

    await slow.expectGood()
    await left.expectKept()
    for (const [index, upload] of uploads.entries()) {
      expect(await downloadedDigest(await upload)).toBe(sha256(content))
      const client = clients[index]
      expect(client?.creations).toHaveLength([1, 4][index] ?? 0)
      expect([...(client?.headStatuses ?? [])].filter((status) => status !== 200 && status !== 423)).toEqual(
        [],
      )
    }
  })
})

/** A PATCH that is in the middle of its body when the database goes, and ends while it is away. */
async function slowUpload(seed: string) {
  const content = seededBytes(seed, 900 * KIB)
  const [before, during] = [300 * KIB, 700 * KIB]
  const upload = await create(server.endpoint, content.length)
  const request = openPatch(upload, 0, content.length)
  await request.write(content.subarray(0, before))
  return {
    request,
    sendRest: async () => {
      await request.write(content.subarray(before))
      request.end()
    },
    sendAndLeave: async () => {
      await request.write(content.subarray(before, during))
      request.destroy()
    },
    /** A body that came in whole is kept whole: it was neither the client's fault nor the disk's. */
    expectGood: async () => {
      const { status, headers } = await request.answer
      expect([status, headers['upload-offset']]).toEqual([204, String(content.length)])
      expect(await downloadedDigest(upload)).toBe(sha256(content))
    },
    /** What came before the client left is kept as well. */
    expectKept: async () => {
      await resumeFrom(upload, content, during)
    },
    /** What was recorded before is kept, whatever became of the rest. */
    expectResumable: async () => {
      await resumeFrom(upload, content, 0)
    },
  }
}

async function resumeFrom(upload: string, content: Buffer, least: number): Promise<void> {
  const offset = await offsetOf(upload)
  expect(offset).toBeGreaterThanOrEqual(least)
  if (offset < content.length)
    expect((await patch(upload, offset, content.subarray(offset))).status).toBe(204)
  expect(await downloadedDigest(upload)).toBe(sha256(content))
}

function statuses(answers: Readonly<Record<string, Answer>>): Record<string, number> {
  return Object.fromEntries(Object.entries(answers).map(([name, { status }]) => [name, status]))
}
