import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Balancer, type BalancerName, findBalancer } from '../support/balancer.js'
import { Cluster } from '../support/cluster.js'
import { FragoClient } from '../support/frago-client.js'
import { create, downloadedDigest, offsetOf, patch } from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { TusClient } from '../support/tus-client.js'

const MIB = 1024 * 1024

describe.each(['haproxy', 'nginx'] as const)(
  'three nodes on S3 behind %s, in turns',
  (name: BalancerName) => {
    let cluster: Cluster
    let balancer: Balancer
    let reason: string | null = null

    beforeAll(async () => {
      const program = await findBalancer(name)
      if (program === null) {
        reason = `${name} is not installed`
        return
      }
      cluster = await Cluster.start(3)
      balancer = await Balancer.start(name, program, cluster.ports)
    })

    afterAll(async () => {
      await balancer?.stop()
      await cluster?.end()
    })

    test('every request of an upload meets another node', async ({ skip }) => {
      if (reason !== null) return skip(reason)
      const content = seededBytes(`${name} turns`, 24 * MIB + 11)
      const upload = await create(`${balancer.url}/files`, content.length)
      // Of every kind of length: less than a part, more than one, and odd.
      const pieces = [100, 6 * MIB, 1, 11 * MIB + 5, 3 * MIB, content.length]
      let offset = 0
      for (const length of pieces) {
        const answer = await patch(upload, offset, content.subarray(offset, offset + length))
        expect(answer.status).toBe(204)
        offset = Math.min(content.length, offset + length)
        expect(await offsetOf(upload)).toBe(offset)
      }
      for (let turn = 0; turn < 3; turn++) expect(await downloadedDigest(upload)).toBe(sha256(content))
    })

    test('parallel parts and their final', async ({ skip }) => {
      if (reason !== null) return skip(reason)
      const content = seededBytes(`${name} parallel`, 40 * MIB + 3)
      const client = new TusClient(content, {
        endpoint: `${balancer.url}/files`,
        parallelUploads: 4,
        stallsAfter: 20_000,
        freshConnections: true,
      })
      const url = await client.run()
      // Before, while and after the parts become one object.
      for (let look = 0; look < 5; look++) {
        expect(await downloadedDigest(url)).toBe(sha256(content))
        await sleep(200)
      }
      await cluster.untilAssembled()
      expect(await downloadedDigest(url)).toBe(sha256(content))
    })

    test('chunks of frago, out of order and side by side', async ({ skip }) => {
      if (reason !== null) return skip(reason)
      const content = seededBytes(`${name} chunks`, 20 * MIB + 17)
      const client = new FragoClient(`${balancer.url}/upload/`)
      const id = await client.start('cluster.bin', content.length)
      const chunk = 3 * MIB
      const starts = Array.from({ length: Math.ceil(content.length / chunk) }, (_, n) => n * chunk).reverse()
      await Promise.all(
        [0, 1, 2, 3].map(async (lane) => {
          for (const start of starts.filter((_, index) => index % 4 === lane)) {
            const answer = await client.put(id, start, content.subarray(start, start + chunk), content.length)
            expect(answer.status).toBe(200)
          }
        }),
      )
      const finished = await client.finalize(id, createHash('md5').update(content).digest('hex'))
      expect(finished.status).toBe(201)
      expect(await downloadedDigest(`${balancer.url}/files/${id}`)).toBe(sha256(content))
    })

    test('nodes are replaced one after the other, and nobody loses a byte', async ({ skip }) => {
      if (reason !== null) return skip(reason)
      const finished = seededBytes(`${name} finished`, 12 * MIB)
      const url = await new TusClient(finished, { endpoint: `${balancer.url}/files` }).run()
      const restarted = new AbortController()
      const readers = [0, 1].map(() => readAgainAndAgain(url, sha256(finished), restarted.signal))
      const contents = Array.from({ length: 4 }, (_, n) => seededBytes(`${name} rolling ${n}`, 48 * MIB + n))
      const running = contents.map((content, n) =>
        new TusClient(content, {
          endpoint: `${balancer.url}/files`,
          stallsAfter: 20_000,
          freshConnections: true,
          ...(n % 2 === 0 ? { parallelUploads: 3 } : { chunkSize: 7 * MIB }),
        }).run(),
      )
      for (const index of [0, 1, 2]) {
        await sleep(500)
        const exit = await cluster.node(index).stop()
        expect(exit.code).toBe(0)
        await cluster.startNode(index)
      }
      restarted.abort()
      for (const times of await Promise.all(readers)) expect(times).toBeGreaterThan(1)
      const urls = await Promise.all(running)
      for (const [n, url] of urls.entries())
        expect(await downloadedDigest(url)).toBe(sha256(contents[n] as Buffer))
    })

    test('a node is killed, and another goes on', async ({ skip }) => {
      if (reason !== null) return skip(reason)
      const content = seededBytes(`${name} killed`, 64 * MIB)
      const client = new TusClient(content, {
        endpoint: `${balancer.url}/files`,
        parallelUploads: 4,
        stallsAfter: 20_000,
        freshConnections: true,
      })
      const running = client.run()
      await client.hasSent(20 * MIB)
      await cluster.node(1).kill()
      const url = await running
      expect(await downloadedDigest(url)).toBe(sha256(content))
      await cluster.startNode(1)
    })
  },
)

/** Downloads slowly, so that nodes end in the middle of it, until it is told to stop. Returns how often it got all. */
async function readAgainAndAgain(url: string, digest: string, stop: AbortSignal): Promise<number> {
  let times = 0
  for (; !stop.aborted; times++) {
    const answer = await fetch(url, { headers: { Connection: 'close' } })
    expect(answer.status).toBe(200)
    const hash = createHash('sha256')
    for await (const piece of answer.body ?? []) {
      hash.update(piece)
      await sleep(5)
    }
    expect(hash.digest('hex')).toBe(digest)
  }
  return times
}
