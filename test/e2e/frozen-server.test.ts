import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Answer,
  at,
  concatenate,
  create,
  createPart,
  downloadedDigest,
  type OpenRequest,
  offsetOf,
  openPatch,
  patch,
} from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'
import type { ServerProcess } from '../support/server-process.js'

const KIB = 1024
const LENGTH = 2048 * KIB

let group: ServerGroup
let frozen: ServerProcess
let other: ServerProcess

beforeAll(async () => {
  group = await ServerGroup.make()
  ;[frozen, other] = await Promise.all([group.start(), group.start()])
})

afterAll(() => group.end())

/** An upload whose body a server is receiving when it is frozen. */
interface Victim {
  readonly moment: string
  readonly upload: string
  readonly request: OpenRequest
  readonly content: Buffer
  /** Bytes sent before the freeze. */
  readonly sent: number
}

type Moment = (upload: string, request: OpenRequest, content: Buffer) => Promise<number>

/** How far a server got before it froze. Each sends what it sends and resolves with how many bytes that were. */
const MOMENTS: Readonly<Record<string, Moment>> = {
  'before its first byte': async (upload) => {
    await group.untilClaimed(upload)
    return 0
  },
  'with bytes it has stored and not recorded': async (upload, request, content) => {
    await request.write(content.subarray(0, 300 * KIB))
    await group.untilStored(upload, 300 * KIB)
    return 300 * KIB
  },
  'with bytes it has not yet read': async (_upload, request, content) => {
    await request.write(content.subarray(0, 900 * KIB))
    return 900 * KIB
  },
  'after it recorded some and stored more': async (upload, request, content) => {
    await request.write(content.subarray(0, 200 * KIB))
    await group.untilRecorded(upload, 200 * KIB)
    await request.write(content.subarray(200 * KIB, 800 * KIB))
    return 800 * KIB
  },
}

/**
 * Uploads whose last bytes leave just before the freeze, one after the other: it finds some of them with bytes not yet
 * read, some storing and syncing, some recording, and some done.
 */
const FINISHING = 8
const APART_MS = 2

describe.for([1, 2, 3])('a frozen server, round %i', (round) => {
  test('changes not one byte of what another went on with', async ({ annotate }) => {
    const started = Object.entries(MOMENTS).map(([moment, reach]) =>
      begin(`${moment}, round ${round}`, reach),
    )
    const finishing = Array.from({ length: FINISHING }, (_, index) =>
      begin(`about to finish, ${index}, round ${round}`, allButOneByte),
    )
    const victims = await Promise.all([...started, ...finishing])
    for (const { request, content, sent } of victims.slice(-FINISHING)) {
      void request.write(content.subarray(sent))
      request.end()
      await sleep(APART_MS)
    }
    await frozen.freeze()

    const inherited = await Promise.all(victims.map(goOn))
    const expected = inherited.map(({ digest }) => digest)
    // In some rounds the other server is done before the thaw, in others it is in the middle.
    const doneBefore = round !== 2
    if (doneBefore) {
      await Promise.all(inherited.map(({ finish }) => finish()))
      expect(await digests(victims)).toEqual(expected)
    }

    // What a sender still had on its way lies in the frozen server's sockets now, and is read when it thaws.
    for (const { request, content, sent } of victims.slice(0, -FINISHING)) {
      void request.write(content.subarray(sent))
    }
    frozen.thaw()
    const answers = await Promise.all(victims.map(({ request }) => request.answer.catch(asLost)))
    const told = answers.map((answer) => (answer === 'lost' ? answer : answer.status))
    await annotate(`taken over at ${inherited.map(({ offset }) => offset)}; the frozen server said ${told}`)
    for (const [index, answer] of answers.entries()) {
      expectNoFalsePromise(victims[index], answer, expected[index])
    }
    if (!doneBefore) await Promise.all(inherited.map(({ finish }) => finish()))
    expect(await digests(victims), 'after the thaw').toEqual(expected)
  })

  test('goes on as a new node', async () => {
    const content = seededBytes(`after the thaw ${round}`, 100 * KIB)
    const upload = await create(frozen.endpoint, content.length)
    const first = await patch(upload, 0, content.subarray(0, 40 * KIB))
    expect(first.status).toBe(204)
    expect(await offsetOf(at(other.endpoint, upload))).toBe(40 * KIB)
    expect((await patch(upload, 40 * KIB, content.subarray(40 * KIB))).status).toBe(204)
    expect(await downloadedDigest(at(other.endpoint, upload))).toBe(sha256(content))
  })
})

test('what nobody took over meanwhile goes on where it was', async () => {
  const content = seededBytes('nobody else', LENGTH)
  const upload = await create(frozen.endpoint, LENGTH)
  const request = openPatch(upload, 0, LENGTH)
  await request.write(content.subarray(0, 500 * KIB))
  await group.untilRecorded(upload, 500 * KIB)
  await frozen.freeze()
  // Its lease lapses; a waiting HEAD would take nothing over, a claim would.
  await expect.poll(() => leases()).toBe(1)
  frozen.thaw()
  void request.write(content.subarray(500 * KIB, 900 * KIB))
  const offset = await offsetOf(at(other.endpoint, upload))
  expect(offset).toBeGreaterThanOrEqual(500 * KIB)
  request.destroy()
  // Nothing fenced the thawed server off: what it still records may come after the offset was told, and 409 says so.
  for (let from = offset; ; ) {
    const { status, headers } = await patch(upload, from, content.subarray(from))
    if (status === 204) break
    expect(status).toBe(409)
    from = Number(headers['upload-offset'])
  }
  expect(await downloadedDigest(at(other.endpoint, upload))).toBe(sha256(content))
})

test('a server frozen while it assembles changes nothing when it goes on', async () => {
  const pieces = [1, 2].map((number) => seededBytes(`assembled ${number}`, 48 * 1024 * KIB))
  const parts: string[] = []
  for (const piece of pieces) {
    const part = await createPart(frozen.endpoint, piece.length)
    expect((await patch(part, 0, piece)).status).toBe(204)
    parts.push(part)
  }
  const final = await concatenate(frozen.endpoint, parts)
  await frozen.freeze()
  const digest = sha256(Buffer.concat(pieces))
  const here = at(other.endpoint, final)
  expect(await assemblies(), 'the freeze came too late').toBe(1)
  expect(await downloadedDigest(here), 'from the parts').toBe(digest)
  // The other server takes the assembly up when the lease has lapsed, and begins it anew.
  await expect.poll(assemblies, { interval: 50 }).toBe(0)
  expect(await downloadedDigest(here), 'from one file').toBe(digest)
  frozen.thaw()
  for (const server of [frozen, other]) {
    expect(await downloadedDigest(at(server.endpoint, final)), 'after the thaw').toBe(digest)
    for (const [index, part] of parts.entries()) {
      expect(await downloadedDigest(at(server.endpoint, part))).toBe(sha256(pieces[index] ?? Buffer.alloc(0)))
    }
  }
})

function assemblies(): Promise<number> {
  return group.count('select count(*) from $s.assemblies')
}

async function begin(moment: string, reach: Moment): Promise<Victim> {
  const content = seededBytes(moment, LENGTH)
  const upload = await create(frozen.endpoint, LENGTH)
  const request = openPatch(upload, 0, LENGTH)
  return { moment, upload, request, content, sent: await reach(upload, request, content) }
}

async function allButOneByte(upload: string, request: OpenRequest, content: Buffer): Promise<number> {
  await request.write(content.subarray(0, LENGTH - 1))
  await group.untilStored(upload, LENGTH - 1)
  return LENGTH - 1
}

interface Inherited {
  readonly offset: number
  /** Of what the upload must be in the end. */
  readonly digest: string
  /** Sends the last bytes. */
  finish(): Promise<void>
}

/** Goes on through the other server, with other bytes, nearly to the end. */
async function goOn({ moment, upload, content }: Victim): Promise<Inherited> {
  const here = at(other.endpoint, upload)
  const offset = await offsetOf(here)
  const rest = seededBytes(`other bytes, ${moment}`, LENGTH - offset)
  const digest = sha256(Buffer.concat([content.subarray(0, offset), rest]))
  if (offset === LENGTH) return { offset, digest, finish: async () => undefined }
  const half = Math.floor(rest.length / 2)
  expect((await patch(here, offset, rest.subarray(0, half))).status, moment).toBe(204)
  const last = openPatch(here, offset + half, rest.length - half)
  await last.write(rest.subarray(half, half + 100))
  const finish = async () => {
    await last.write(rest.subarray(half + 100))
    last.end()
    expect((await last.answer).status, moment).toBe(204)
  }
  return { offset, digest, finish }
}

function digests(victims: readonly Victim[]): Promise<string[]> {
  return Promise.all(victims.map(({ upload }) => downloadedDigest(at(other.endpoint, upload))))
}

/** The thawed server may say that it was displaced, or that all is there if it had recorded all; nothing else. */
function expectNoFalsePromise(
  victim: Victim | undefined,
  answer: Answer | 'lost',
  digest: string | undefined,
): void {
  if (victim === undefined || answer === 'lost') return
  const { status, body } = answer
  if (status === 204) {
    expect(digest, `${victim.moment}: 204 for bytes that are not there`).toBe(sha256(victim.content))
  } else {
    expect([409, 423], `${victim.moment}: ${body}`).toContain(status)
  }
}

function leases(): Promise<number> {
  return group.count('select count(*) from $s.nodes where lease_until > clock_timestamp()')
}

function asLost(): 'lost' {
  return 'lost'
}
