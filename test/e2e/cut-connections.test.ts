import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type CutKind, type CutPlan, CuttingProxy } from '../support/cutting-proxy.js'
import { randomCuts } from '../support/random-cuts.js'
import { downloadedDigest, send } from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'
import type { ServerProcess } from '../support/server-process.js'
import { TusClient } from '../support/tus-client.js'

const MIB = 1024 * 1024
const SIZE = 6 * MIB + 4321

/** Enough for every client here to meet its cuts, and an end of them. */
const CUT_CONNECTIONS = 60

let group: ServerGroup
let server: ServerProcess

beforeAll(async () => {
  group = await ServerGroup.make()
  server = await group.start()
})

afterAll(() => group.end())

describe.for([
  ['hung up', ['fin']],
  ['reset', ['rst']],
  ['left half-open', ['half-open']],
  ['cut in any way', ['fin', 'rst', 'half-open']],
] as const)('connections %s', ([, kinds]) => {
  test.for([1, 4, 16])('cost a client with %i parts no byte', async (parts) => {
    const seed = parts * 10 + kinds.length
    const within = parts === 1 ? SIZE / 2 : SIZE / parts
    const proxy = await openProxy(
      randomCuts({ seed, kinds, within, spareOneOf: 4, until: cutConnections(kinds, parts) }),
    )
    const content = seededBytes(`cut ${kinds.join()} ${parts}`, SIZE)
    const client = new TusClient(content, {
      endpoint: proxy.through(server.endpoint),
      parallelUploads: parts,
      stallsAfter: 700,
    })
    await expectGoodUpload(client, content, parts)
    expect(proxy.cuts.length).toBeGreaterThan(0)
  })
})

test('cuts during creations with data cost no byte', async () => {
  const proxy = await openProxy(
    randomCuts({ seed: 7, kinds: ['fin', 'rst'], within: MIB, spareOneOf: 3, until: CUT_CONNECTIONS }),
  )
  const content = seededBytes('creation', SIZE)
  const client = new TusClient(content, {
    endpoint: proxy.through(server.endpoint),
    parallelUploads: 4,
    uploadDataDuringCreation: true,
    chunkSize: MIB / 2,
  })
  await expectGoodUpload(client, content, 4)
})

test('a lost answer to the final costs nothing, and makes no second one', async () => {
  const before = await finals()
  const proxy = await openProxy(() => null)
  const content = seededBytes('lost final', SIZE)
  let lost = 0
  const client = new TusClient(content, {
    endpoint: proxy.through(server.endpoint),
    parallelUploads: 4,
    freshConnections: true,
    beforeRequest: (request) => {
      const isFinal = request.getHeader('Upload-Concat')?.startsWith('final') === true
      // The first answers to it are lost, after the server has made it.
      proxy.follow(isFinal && lost++ < 3 ? () => ({ at: { answerLostAfter: 1 }, how: 'rst' }) : () => null)
    },
  })
  await expectGoodUpload(client, content, 4)
  expect(proxy.cuts).toHaveLength(3)
  expect(await finals()).toBe(before + 1)
})

/** Half-open connections cost the client its patience each; a few are enough. */
function cutConnections(kinds: readonly CutKind[], parts: number): number {
  return kinds.includes('half-open') ? 8 + parts : CUT_CONNECTIONS
}

async function openProxy(plan: CutPlan): Promise<CuttingProxy> {
  const proxy = await CuttingProxy.open([server.port], plan)
  onTestFinished(() => proxy.close())
  return proxy
}

async function finals(): Promise<number> {
  return group.count(`select count(*) from $s.uploads where kind = 'final'`)
}

/** Complete, identical, never begun again, and the final found again by the same request. */
async function expectGoodUpload(client: TusClient, content: Buffer, parts: number): Promise<void> {
  const upload = await client.run()
  const direct = new URL(new URL(upload).pathname, server.endpoint).href
  expect(await downloadedDigest(direct)).toBe(sha256(content))
  expect(client.creations).toHaveLength(parts)
  expect([...client.headStatuses].filter((status) => status !== 200 && status !== 423)).toEqual([])
  if (parts === 1) return
  expect(new Set(client.finals.map(({ location }) => location)).size).toBe(1)
  const [final] = client.finals
  const again = await send(server.endpoint, {
    method: 'POST',
    headers: { 'Upload-Concat': final?.concat ?? '' },
  })
  expect(new URL(again.headers.location ?? '', server.endpoint).pathname).toBe(new URL(upload).pathname)
}
