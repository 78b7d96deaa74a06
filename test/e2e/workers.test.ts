import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { childrenOf } from '../support/child-processes.js'
import { FragoClient, md5 } from '../support/frago-client.js'
import { create, downloadedDigest, offsetOf, patch, send } from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { idOf, ServerGroup } from '../support/server-group.js'
import type { ServerProcess } from '../support/server-process.js'
import { TusClient } from '../support/tus-client.js'

const MIB = 1024 * 1024

let group: ServerGroup
let server: ServerProcess

beforeAll(async () => {
  group = await ServerGroup.make()
  server = await group.start(undefined, { WORKERS: '2' })
})

afterAll(async () => {
  const { output } = server
  const exit = await server.stop()
  await group.end()
  expect(exit, output).toEqual({ code: 0, signal: null })
})

const workers = () => childrenOf(server.pid)

/** Kills the oldest of the workers, and gives its pid. */
async function killOne(): Promise<number> {
  const pid = Math.min(...(await workers()))
  process.kill(pid, 'SIGKILL')
  return pid
}

describe('two workers at one port', () => {
  test('are two living nodes, and the primary is none', async () => {
    const living = await group.schema.run<{ pid: string }>(
      "select process->>'pid' as pid from $s.nodes where lease_until > clock_timestamp() order by 1",
    )
    expect(living.map(({ pid }) => Number(pid)).sort()).toEqual([...(await workers())].sort())
  })

  test('serve one upload in turns', async () => {
    const content = seededBytes('turns', 20 * 50_000 + 7)
    const upload = await create(server.endpoint, content.length)
    for (let offset = 0; offset < content.length; ) {
      const answer = await patch(upload, offset, content.subarray(offset, offset + 50_000))
      expect(answer.status).toBe(204)
      offset = Number(answer.headers['upload-offset'])
      // Two of them: with one, round robin would give all of these to one worker, and the PATCHes to the other.
      for (let look = 0; look < 2; look++) expect(await offsetOf(upload)).toBe(offset)
    }
    expect(await downloadedDigest(upload)).toBe(sha256(content))
    const both = new Set(await workers())
    await expect.poll(() => patchersOf(upload)).toEqual(both)
  })

  test.for([4, 16])('serve tus-js-client in %i parts', async (parallelUploads) => {
    const content = seededBytes(`workers ${parallelUploads}`, 8 * MIB + 5)
    const client = new TusClient(content, {
      endpoint: server.endpoint,
      parallelUploads,
      chunkSize: 150_000,
      freshConnections: true,
    })
    const upload = await client.run()
    expect(await downloadedDigest(upload)).toBe(sha256(content))
    expect(client.creations).toHaveLength(parallelUploads)
    // Not the blobs' epochs: an assembly may have made one of them by now.
    const parts = client.creations.map(({ location }) => location)
    await expect.poll(() => new Set(parts.flatMap((part) => [...patchersOf(part)])).size).toBe(2)
  })

  test('serve the chunks of frago, and one finishes what went to both', async () => {
    const content = seededBytes('chunks', 20 * MIB + 3)
    const frago = new FragoClient(new URL('/upload/', server.endpoint).href)
    const id = await frago.start('chunks.bin', content.length)
    const starts = Array.from({ length: 21 }, (_, index) => index * MIB)
    const puts = starts.map((start) =>
      frago.put(id, start, content.subarray(start, start + MIB), content.length),
    )
    for (const { status } of await Promise.all(puts)) expect(status).toBe(200)
    expect((await frago.finalize(id, md5(content))).status).toBe(201)
    const published = await readFile(join(group.dataDir, 'assembled', 'chunks.bin'))
    expect(published.equals(content)).toBe(true)
  })

  /** The workers that have served a PATCH of the upload, by the log. */
  function patchersOf(upload: string): ReadonlySet<number> {
    const lines = server.output
      .split('\n')
      .filter((line) => line.startsWith('{') && line.includes(idOf(upload)))
    const requests = lines.map((line) => JSON.parse(line) as { pid: number; method: string })
    return new Set(requests.filter(({ method }) => method === 'PATCH').map(({ pid }) => pid))
  }
})

describe('a worker that is killed', () => {
  test('in the middle of uploads costs no client its upload', async () => {
    const content = seededBytes('killed', 48 * MIB + 1)
    const clients = [1, 4].map((parallelUploads) => ({
      parallelUploads,
      client: new TusClient(content, {
        endpoint: server.endpoint,
        parallelUploads,
        chunkSize: MIB,
        freshConnections: true,
        stallsAfter: 15_000,
      }),
    }))
    const running = clients.map(({ client }) => client.run())
    const killed: number[] = []
    for (const share of [0.2, 0.6]) {
      await Promise.all(clients.map(({ client }) => client.hasSent(content.length * share)))
      killed.push(await killOne())
    }
    expect(new Set(killed).size).toBe(2)
    for (const [index, { client, parallelUploads }] of clients.entries()) {
      expect(await downloadedDigest((await running[index]) ?? '')).toBe(sha256(content))
      expect(client.creations).toHaveLength(parallelUploads)
      expect([...client.headStatuses].every((status) => status < 500)).toBe(true)
    }
    await expect.poll(workers).toHaveLength(2)
    for (const pid of await workers()) expect(killed).not.toContain(pid)
  })

  test('leaves no connection that nobody answers', async () => {
    let over = false
    const outcomes = { answered: 0, broken: 0 }
    const lanes = Array.from({ length: 8 }, async () => {
      while (!over) {
        const signal = AbortSignal.timeout(60_000)
        try {
          await send(new URL('/healthz', server.endpoint).href, { signal })
          outcomes.answered += 1
        } catch (error) {
          expect(signal.aborted, String(error)).toBe(false)
          outcomes.broken += 1
          await sleep(20)
        }
      }
    })
    const answers = async () => {
      await expect.poll(workers).toHaveLength(2)
      const before = outcomes.answered
      await expect.poll(() => outcomes.answered).toBeGreaterThan(before + lanes.length)
    }
    for (let death = 0; death < 4; death++) {
      await answers()
      await killOne()
      await sleep(500)
    }
    await answers()
    over = true
    await Promise.all(lanes)
  })
})
