import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, onTestFailed, test } from 'vitest'
import { Cluster } from '../support/cluster.js'
import { openDatabaseProxy } from '../support/database-proxy.js'
import {
  at,
  concatenate,
  create,
  createPart,
  downloadedDigest,
  head,
  type OpenRequest,
  offsetOf,
  openPatch,
  patch,
  send,
} from '../support/raw-tus.js'
import { RestartablePostgres } from '../support/restartable-postgres.js'
import { S3Proxy } from '../support/s3-proxy.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { databaseUrl } from '../support/server-process.js'
import { TusClient } from '../support/tus-client.js'

const MIB = 1024 * 1024

let cluster: Cluster | null = null
const proxies: S3Proxy[] = []

afterEach(async () => {
  await cluster?.end()
  cluster = null
  for (const proxy of proxies.splice(0)) await proxy.stop()
})

async function withProxy(count: number): Promise<{ cluster: Cluster; proxy: S3Proxy }> {
  const made: { proxy?: S3Proxy } = {}
  const started = await Cluster.start(count, {
    endpoint: async (s3) => {
      made.proxy = await S3Proxy.start(s3.endpoint)
      proxies.push(made.proxy)
      return made.proxy.endpoint
    },
  })
  cluster = started
  return { cluster: started, proxy: made.proxy as S3Proxy }
}

/** Sends some bytes of a body that is not to end. */
async function beginPatch(upload: string, content: Buffer, bytes: number): Promise<OpenRequest> {
  const request = openPatch(upload, 0, content.length)
  await request.write(content.subarray(0, bytes))
  return request
}

describe('a node that is frozen beyond its lease', () => {
  test('writes nothing into what another went on with, when it comes back', async () => {
    cluster = await Cluster.start(2)
    const [one, two] = [cluster.node(0), cluster.node(1)]
    const content = seededBytes('frozen', 60 * MIB)
    const upload = await create(one.endpoint, content.length)
    const request = await beginPatch(upload, content, 40 * MIB)
    await cluster.untilRecorded(upload, 8 * MIB)
    await one.freeze()
    const offset = await offsetOf(at(two.endpoint, upload))
    expect(offset).toBeGreaterThan(0)
    const answer = await patch(at(two.endpoint, upload), offset, content.subarray(offset))
    expect(answer.status).toBe(204)
    const whole = sha256(content)
    onTestFailed(() => {
      for (const node of [one, two])
        console.log(
          node.output
            .split('\n')
            .filter((line) => /"level":[45]0/.test(line))
            .join('\n'),
        )
    })
    expect(await downloadedDigest(at(two.endpoint, upload))).toBe(whole)
    one.thaw()
    await request.write(Buffer.alloc(12 * MIB, 0xee))
    await sleep(3_000)
    request.destroy()
    for (const node of [one, two]) expect(await downloadedDigest(at(node.endpoint, upload))).toBe(whole)
  })

  test('does not spoil an upload that has the same parts still to come', async () => {
    const { cluster, proxy } = await withProxy(2)
    const [one, two] = [cluster.node(0), cluster.node(1)]
    const content = seededBytes('late part', 50 * MIB)
    const upload = await create(one.endpoint, content.length)
    // A part of the first node is on its way for longer than the node lives.
    let held: (() => void) | null = null
    const late = new Promise<void>((resolve) => {
      held = resolve
    })
    let parts = 0
    proxy.delays = (call) => (call.operation === 'UploadPart' && ++parts === 2 ? late : undefined)
    const request = await beginPatch(upload, content, 45 * MIB)
    await cluster.untilRecorded(upload, 1)
    await one.kill()
    request.destroy()
    const offset = await offsetOf(at(two.endpoint, upload))
    const answer = await patch(at(two.endpoint, upload), offset, content.subarray(offset))
    expect(answer.status).toBe(204)
    ;(held as (() => void) | null)?.()
    await expect.poll(() => proxy.late.map(({ status }) => status)).toEqual([expect.any(Number)])
    expect(await downloadedDigest(at(two.endpoint, upload))).toBe(sha256(content))
  })
})

describe('a node that loses', () => {
  test('the database says so, and goes on when it is back', async () => {
    const postgres = await RestartablePostgres.make()
    try {
      cluster = await Cluster.start(2, { database: postgres.connection })
      const node = cluster.node(0)
      const content = seededBytes('outage', 30 * MIB)
      const client = new TusClient(content, {
        endpoint: node.endpoint,
        chunkSize: 4 * MIB,
        stallsAfter: 20_000,
      })
      const running = client.run()
      await client.hasSent(9 * MIB)
      await postgres.kill()
      expect((await send(node.endpoint, { method: 'POST', headers: { 'Upload-Length': '5' } })).status).toBe(
        503,
      )
      await postgres.start()
      const url = await running
      for (const other of cluster.nodes)
        expect(await downloadedDigest(at(other.endpoint, url))).toBe(sha256(content))
    } finally {
      await cluster?.end()
      cluster = null
      await postgres.end()
    }
  })

  test('its way to the database, while others have theirs', async () => {
    const { proxy: way, database } = await openDatabaseProxy()
    try {
      cluster = await Cluster.start(2)
      const other = cluster.node(1)
      await cluster.node(0).stop()
      const cut = await cluster.startNode(0, { DATABASE_URL: databaseUrl(database) })
      const content = seededBytes('partition', 40 * MIB)
      const upload = await create(cut.endpoint, content.length)
      const request = await beginPatch(upload, content, 30 * MIB)
      await cluster.untilRecorded(upload, 1)
      way.follow(() => ({ at: { sent: 0 }, how: 'rst' }))
      way.cutAll('rst')
      const offset = await offsetOf(at(other.endpoint, upload))
      expect((await patch(at(other.endpoint, upload), offset, content.subarray(offset))).status).toBe(204)
      request.destroy()
      expect(await downloadedDigest(at(other.endpoint, upload))).toBe(sha256(content))
      const readyz = new URL('/readyz', cut.endpoint).href
      expect((await send(readyz)).status).toBe(503)
      way.follow(() => null)
      await expect.poll(async () => (await send(readyz)).status).toBe(200)
      expect(await downloadedDigest(upload)).toBe(sha256(content))
      const next = await create(cut.endpoint, 3)
      expect((await patch(next, 0, Buffer.from('abc'))).status).toBe(204)
    } finally {
      await way.close()
    }
  })

  test('S3 keeps what was recorded, says so, and goes on when it is back', async () => {
    const { cluster, proxy } = await withProxy(2)
    const [one, two] = [cluster.node(0), cluster.node(1)]
    const content = seededBytes('without S3', 60 * MIB)
    const upload = await create(one.endpoint, content.length)
    const first = 20 * MIB
    expect((await patch(upload, 0, content.subarray(0, first))).status).toBe(204)
    proxy.quirks = [() => 'cut']
    const refused = await patch(upload, first, content.subarray(first, 2 * first))
    expect(refused.status).toBe(500)
    expect((await send(new URL('/readyz', one.endpoint).href)).status).toBe(503)
    expect(await offsetOf(upload)).toBe(first)
    proxy.quirks = []
    expect((await patch(at(two.endpoint, upload), first, content.subarray(first))).status).toBe(204)
    expect(await downloadedDigest(upload)).toBe(sha256(content))
  })
})

test('a slow S3 slows clients down, and memory stays what it is', async () => {
  const { cluster, proxy } = await withProxy(1)
  proxy.quirks = [
    async () => {
      await sleep(300)
      return undefined
    },
  ]
  const contents = Array.from({ length: 24 }, (_, n) => seededBytes(`slow ${n}`, 24 * MIB))
  const node = cluster.node(0)
  const urls = await Promise.all(
    contents.map((content) =>
      new TusClient(content, { endpoint: node.endpoint, stallsAfter: 30_000, freshConnections: true }).run(),
    ),
  )
  proxy.quirks = []
  // All of them together have 576 MiB; a process has about 100 without any.
  expect(await mostResident(node.pid)).toBeLessThan(400 * MIB)
  for (const [n, url] of urls.entries())
    expect(await downloadedDigest(url)).toBe(sha256(contents[n] as Buffer))
})

/** Most resident memory of a process so far, in bytes; 0 where there is no /proc. */
async function mostResident(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024
}

test('a node whose clock is wrong does as the others do', async () => {
  cluster = await Cluster.start(1)
  const skewed = await cluster.startNode(1, { NODE_OPTIONS: `--import=${SKEW}` })
  const content = seededBytes('skewed', 20 * MIB)
  const half = content.length / 2
  const parts = await Promise.all([
    createPart(skewed.endpoint, half),
    createPart(cluster.node(0).endpoint, half),
  ])
  for (const [n, part] of parts.entries()) {
    const other = n === 0 ? cluster.node(0) : skewed
    const answer = await patch(at(other.endpoint, part), 0, content.subarray(n * half, (n + 1) * half))
    expect(answer.status).toBe(204)
    expect(
      Date.parse(String((await head(at(skewed.endpoint, part))).headers['upload-expires'])),
    ).toBeLessThan(Date.now() + 25 * 60 * 60 * 1000)
  }
  const final = await concatenate(skewed.endpoint, parts)
  for (const node of cluster.nodes)
    expect(await downloadedDigest(at(node.endpoint, final))).toBe(sha256(content))
})

/** Two days ahead: longer than any expiry. */
const SKEW = `data:text/javascript,${encodeURIComponent(
  'const now = Date.now.bind(Date); Date.now = () => now() + 172800000',
)}`
