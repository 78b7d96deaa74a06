import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { CuttingProxy } from '../support/cutting-proxy.js'
import {
  at,
  concatenate,
  create,
  createPart,
  downloadedDigest,
  head,
  offsetOf,
  openPatch,
  patch,
} from '../support/raw-tus.js'
import { seededBytes, seededRandom, sha256 } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'
import type { ServerProcess } from '../support/server-process.js'
import { TusClient } from '../support/tus-client.js'

const MIB = 1024 * 1024

let group: ServerGroup
let one: ServerProcess
let two: ServerProcess

beforeAll(async () => {
  group = await ServerGroup.make()
  ;[one, two] = await Promise.all([group.start(), group.start()])
})

afterAll(() => group.end())

describe('two servers on one database and one directory', () => {
  test('serve one upload in turns', async () => {
    const content = seededBytes('turns', 40 * 50_000 + 7)
    const upload = await create(one.endpoint, content.length)
    for (let offset = 0, turn = 0; offset < content.length; turn++) {
      const server = turn % 2 === 0 ? two : one
      const answer = await patch(
        at(server.endpoint, upload),
        offset,
        content.subarray(offset, offset + 50_000),
      )
      expect(answer.status).toBe(204)
      offset = Number(answer.headers['upload-offset'])
      const other = server === one ? two : one
      expect(await offsetOf(at(other.endpoint, upload))).toBe(offset)
    }
    for (const server of [one, two]) {
      expect(await downloadedDigest(at(server.endpoint, upload))).toBe(sha256(content))
    }
  })

  test('join parts that came in through either', async () => {
    const pieces = Array.from({ length: 6 }, (_, index) => seededBytes(`part ${index}`, 30_000 + index))
    const parts: string[] = []
    for (const [index, piece] of pieces.entries()) {
      const server = index % 2 === 0 ? one : two
      const part = await createPart(server.endpoint, piece.length)
      await patch(at((index % 3 === 0 ? two : one).endpoint, part), 0, piece)
      parts.push(part)
    }
    const final = await concatenate(two.endpoint, parts)
    const again = await concatenate(
      one.endpoint,
      parts.map((part) => at(one.endpoint, part)),
    )
    expect(at(two.endpoint, again)).toBe(final)
    expect(await downloadedDigest(at(one.endpoint, final))).toBe(sha256(Buffer.concat(pieces)))
  })

  test.for([1, 4, 16])('serve tus-js-client behind a round robin, in %i parts', async (parallelUploads) => {
    const proxy = await CuttingProxy.open([one.port, two.port])
    onTestFinished(() => proxy.close())
    const content = seededBytes(`round robin ${parallelUploads}`, 3 * MIB + 5)
    const client = new TusClient(content, {
      endpoint: proxy.through(one.endpoint),
      parallelUploads,
      chunkSize: 150_000,
      freshConnections: true,
    })
    const upload = await client.run()
    expect(proxy.connections).toBeGreaterThan(20)
    expect(await downloadedDigest(upload)).toBe(sha256(content))
    expect(client.creations).toHaveLength(parallelUploads)
  })
})

describe('two clients at the same offset through two servers', () => {
  const ROUNDS = 30
  const REFUSED = [409, 423]

  test('with bodies of one packet: one is taken, the other is told', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const [statuses] = await race(`packet ${round}`, 1 + round * 20, patchAtOnce)
      expect(
        statuses.filter((status) => status === 204),
        `${statuses}`,
      ).toHaveLength(1)
    }
  })

  // Whoever comes second makes the first stop where it is: then both are told, and the upload goes on from there.
  test.for([
    ['bodies sent at once', patchAtOnce],
    ['bodies that trickle in', trickle],
  ] as const)(
    'with %s: at most one is taken, and what is kept is of one alone',
    async ([name, patcher], { annotate }) => {
      let both = 0
      for (let round = 0; round < ROUNDS; round++) {
        const [statuses, kept] = await race(`${name} ${round}`, 100_000 + round * 10_000, patcher)
        const taken = statuses.filter((status) => status === 204).length
        expect(taken, `${statuses}`).toBeLessThanOrEqual(1)
        if (taken === 0) both += 1
        expect(kept === 100_000 + round * 10_000).toBe(taken === 1)
      }
      await annotate(`both were told in ${both} of ${ROUNDS} rounds`)
    },
  )

  type Patcher = (upload: string, content: Buffer, seed: number) => Promise<number>

  /** Both send all of their own bytes to the same new upload. Gives the statuses and how many bytes were kept. */
  async function race(name: string, length: number, patcher: Patcher): Promise<[number[], number]> {
    const streams = [seededBytes(`left ${name}`, length), seededBytes(`right ${name}`, length)] as const
    const upload = await create(one.endpoint, length)
    const statuses = await Promise.all([
      patcher(at(one.endpoint, upload), streams[0], length),
      patcher(at(two.endpoint, upload), streams[1], length + 1),
    ])
    for (const status of statuses) expect([204, ...REFUSED]).toContain(status)
    const kept = await offsetOf(upload)
    const filler = seededBytes(`filler ${name}`, length - kept)
    if (kept < length) expect((await patch(upload, kept, filler)).status).toBe(204)
    const downloaded = await downloadedDigest(upload)
    const possible = streams.map((stream) => sha256(Buffer.concat([stream.subarray(0, kept), filler])))
    expect(possible).toContain(downloaded)
    const winner = statuses.indexOf(204)
    if (winner >= 0) expect(downloaded).toBe(possible[winner])
    return [statuses, kept]
  }
})

// Its retries make tus-js-client do this to itself: a parallel upload that begins again leaves its first parts running.
test('two clients that send the same file to the same address both see it arrive', async () => {
  const content = seededBytes('twins', 12 * MIB)
  const upload = await create(one.endpoint, content.length)
  const twins = [one, two, one].map(
    ({ endpoint }) =>
      new TusClient(content, { endpoint, uploadUrl: at(endpoint, upload), chunkSize: 2 * MIB }),
  )
  await Promise.all(twins.map((twin) => twin.run()))
  for (const twin of twins) {
    expect(twin.creations).toHaveLength(0)
    for (const { method, status } of twin.exchanges) {
      expect(method === 'HEAD' ? [200, 423] : [204, 409, 423]).toContain(status)
    }
  }
  expect(await downloadedDigest(upload)).toBe(sha256(content))
})

describe('a server that still receives from a connection nobody uses any more', () => {
  test.for([
    ['HEAD', 'same server'],
    ['HEAD', 'other server'],
    ['PATCH', 'other server'],
  ] as const)('gives the upload up for a %s through the %s', async ([method, where]) => {
    const content = seededBytes(`half-open ${method} ${where}`, 5 * MIB)
    const sent = 3 * MIB + 1
    const proxy = await CuttingProxy.open([one.port])
    onTestFinished(() => proxy.close())
    const upload = await create(one.endpoint, content.length)
    const stale = openPatch(at(proxy.through(one.endpoint), upload), 0, content.length)
    await stale.write(content.subarray(0, sent))
    await group.untilStored(upload, sent)

    const server = at((where === 'same server' ? one : two).endpoint, upload)
    const began = performance.now()
    if (method === 'HEAD') {
      const { status, headers } = await head(server)
      expect([status, headers['upload-offset']]).toEqual([200, String(sent)])
    } else {
      expect((await patch(server, sent, content.subarray(sent))).status).toBe(204)
    }
    const took = performance.now() - began
    console.log(`hand-over, ${method} through the ${where}: ${took.toFixed(0)} ms`)

    expect((await stale.answer).status).toBe(423)
    if (method === 'HEAD') await patch(server, sent, content.subarray(sent))
    expect(await downloadedDigest(upload)).toBe(sha256(content))
  })
})

async function patchAtOnce(upload: string, content: Buffer): Promise<number> {
  return (await patch(upload, 0, content)).status
}

/** Sends a body in pieces of random size, one after the other. Gives the status. */
async function trickle(upload: string, content: Buffer, seed: number): Promise<number> {
  const random = seededRandom(seed)
  const request = openPatch(upload, 0, content.length)
  let answered = false
  const answer = request.answer.finally(() => {
    answered = true
  })
  for (let sent = 0; sent < content.length && !answered; ) {
    const next = Math.min(content.length, sent + 1 + Math.floor(random() * 20_000))
    await request.write(content.subarray(sent, next))
    await sleep(1)
    sent = next
  }
  request.end()
  return (await answer).status
}
