import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { isReservedName } from '../../src/upload/filename.js'
import { builtDist } from '../support/built.js'
import { actUntilDoom, store } from '../support/chunk-torture/actions.js'
import { FragoClient } from '../support/chunk-torture/frago-client.js'
import { Ledger } from '../support/chunk-torture/ledger.js'
import { type Acknowledged, compileSender, Senders } from '../support/chunk-torture/senders.js'
import { expectInvariants, expectSwept } from '../support/invariants.js'
import { KeyedBytes } from '../support/keyed-bytes.js'
import { at, downloadedDigest } from '../support/raw-tus.js'
import { seededRandom } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'
import { databaseUrl, type ServerProcess } from '../support/server-process.js'
import { expectTakenOver } from '../support/torture/checks.js'
import { Cut } from '../support/torture/client.js'
import { Doom, drawFuse } from '../support/torture/doom.js'

const SEED = Number(process.env.TORTURE_SEED ?? Math.floor(Math.random() * 2 ** 31))

const MIB = 1024 ** 2
const GIB = 1024 ** 3

let group: ServerGroup

beforeEach(async () => {
  group = await ServerGroup.make()
})

afterEach(() => group.end())

const CLIENTS = 4
const CHUNKS = 128

/** The bytes, the file made of what lies in several, and chunks that were replaced. */
const NEEDED_DISK = 3 * GIB

test(`1 GiB in ${CHUNKS} chunks by ${CLIENTS} processes, all killed three times with their server, arrives (TORTURE_SEED=${SEED})`, {
  timeout: 300_000,
}, async ({ skip }) => {
  const { bavail, bsize } = await statfs(tmpdir())
  if (bavail * bsize < NEEDED_DISK) skip(`${tmpdir()} has less than ${NEEDED_DISK / GIB} GiB left`)
  const random = seededRandom(SEED)
  const bytes = new KeyedBytes(`1 GiB ${SEED}`, GIB)
  const chunkSize = GIB / CHUNKS
  const program = await compileSender(await made('program'))
  const acknowledged = new Map<number, Acknowledged>()
  let cut = 0
  let server = await group.start()
  const upload = await new FragoClient(baseOf(server)).start('1 GiB.bin', GIB)
  const send = () =>
    Senders.start(program, {
      ...{ base: baseOf(server), upload, key: `1 GiB ${SEED}`, length: GIB, chunkSize, shares: CLIENTS },
    })
  for (let kill = 1; kill <= 3; kill++) {
    const enough = 15 + Math.floor(random() * 20)
    const senders = send()
    await senders.untilAcknowledged(enough)
    await sleep(random() * 50)
    await Promise.all([server.kill(), senders.kill()])
    const now = senders.acknowledged
    expect(now.length, senders.errors).toBeGreaterThanOrEqual(enough)
    // Whoever asks for what is missing is not sent for what was acknowledged.
    for (const each of now) {
      expect(acknowledged.has(each.start)).toBe(false)
      acknowledged.set(each.start, each)
    }
    await expectInvariants(group.schema, blobs(), `after kill ${kill}`)
    expect(failuresIn(server)).toEqual([])
    cut += await group.count('select count(*) from $s.claims')
    server = await group.start()
    await expectTakenOver(group.schema)
    const listed = await listedAt(server, upload)
    expect(listed.every(({ start, stop }) => start % chunkSize === 0 && stop - start === chunkSize)).toBe(
      true,
    )
    const starts = new Set(listed.map(({ start }) => start))
    expect([...acknowledged.keys()].filter((start) => !starts.has(start))).toEqual([])
    // At most one chunk of each client was stored without an answer.
    expect(listed.length).toBeLessThanOrEqual(acknowledged.size + kill * CLIENTS)
    await expectTakesDifferentBytesSeriously(server, upload, bytes, pick([...acknowledged.values()], random))
  }
  expect(cut, 'chunks that were under way when all was killed').toBeGreaterThan(0)
  const last = send()
  for (const exit of await last.exited) expect(exit, last.errors).toEqual({ code: 0, signal: null })
  for (const each of last.acknowledged) {
    expect(acknowledged.has(each.start)).toBe(false)
    acknowledged.set(each.start, each)
  }
  const digests = digestsOf(bytes.pieces(0, GIB, MIB))
  const client = new FragoClient(baseOf(server))
  expect((await client.finalize(upload, digests.md5)).status).toBe(201)
  expect(await client.list(upload)).toMatchObject({ status: 'complete' })
  expect(await sha256Of(join(group.dataDir, 'assembled', '1 GiB.bin'))).toBe(digests.sha256)
  expect(await downloadedDigest(at(server.endpoint, upload))).toBe(digests.sha256)
  expect(await published()).toEqual(['1 GiB.bin'])
  for (const { start, stop, digest } of acknowledged.values()) expect(digest).toBe(bytes.sha256(start, stop))
  await expectNothingLeft(server)
})

/**
 * TORTURE_SEED repeats a run, as far as processes can be made to repeat anything; FRAGO_TORTURE_ROUNDS is how many uploads
 * one goes through.
 */
const ROUNDS = Number(process.env.FRAGO_TORTURE_ROUNDS ?? 3)
const KILLS = 6
const KILLS_AT_THE_END = 3

const LENGTH = 40 * MIB + 12_345
const REGIONS = 64

/** Within this time a file of such a length is hashed, made one and published. */
const FINISHING_MS = 250

test(`${ROUNDS} uploads of chunks that come in any order, again, and with other bytes, survive a server killed at any moment (TORTURE_SEED=${SEED})`, {
  timeout: (ROUNDS + 3) * 60_000,
}, async () => {
  const random = seededRandom(SEED)
  const names: string[] = []
  const seen = { chunksUnderWay: 0, unansweredAndStored: 0, finishing: 0 }
  let server = await group.start()
  const again = async () => {
    await server.kill()
    await expectInvariants(group.schema, blobs(), 'after a kill')
    seen.chunksUnderWay += await group.count('select count(*) from $s.claims')
    expect(failuresIn(server)).toEqual([])
    server = await group.start()
    await expectTakenOver(group.schema)
  }
  for (let round = 0; round < ROUNDS; round++) {
    const name = `round ${round}.bin`
    names.push(name)
    const upload = await new FragoClient(baseOf(server)).start(name, LENGTH)
    const ledger = new Ledger(upload, `${SEED}, round ${round}`, LENGTH, REGIONS, random)
    for (let kill = 0; kill < KILLS; kill++) {
      await workUntilDoom(server, ledger, random)
      await again()
      seen.unansweredAndStored += ledger.settle(await new FragoClient(baseOf(server)).list(upload)).late
    }
    await makeWhole(server, ledger)
    const digests = digestsOf(ledger.content())
    let complete = false
    for (let kill = 0; kill < KILLS_AT_THE_END; kill++) {
      const answer = new FragoClient(baseOf(server)).finalize(upload, digests.md5).catch(() => null)
      await sleep(random() * FINISHING_MS)
      await again()
      const listed = await new FragoClient(baseOf(server)).list(upload)
      if ((await answer) !== null) {
        expect((await answer)?.status).toBe(201)
        complete = true
      } else seen.finishing++
      if (complete) expect(listed.status).toBe('complete')
      complete = listed.status === 'complete'
      if (!complete) ledger.settle(listed)
    }
    const client = new FragoClient(baseOf(server))
    for (let time = 0; time < 2; time++) expect((await client.finalize(upload, digests.md5)).status).toBe(201)
    expect((await client.finalize(upload, '0'.repeat(32))).status).toBe(400)
    expect((await client.put(upload, ledger.chunk(0, 1), () => [Buffer.alloc(1)])).status).toBe(409)
    expect(await client.list(upload)).toEqual({ status: 'complete', chunks: [] })
    expect(await sha256Of(join(group.dataDir, 'assembled', name))).toBe(digests.sha256)
    expect(await downloadedDigest(at(server.endpoint, upload))).toBe(digests.sha256)
    expect(await published()).toEqual([...names].sort())
  }
  console.log(`killed while under way: ${JSON.stringify(seen)}`)
  await expectNothingLeft(server)
})

/** Four clients do what comes to their mind until it is time to kill the server. */
async function workUntilDoom(server: ServerProcess, ledger: Ledger, random: () => number): Promise<void> {
  const doom = new Doom(drawFuse(random))
  const client = new FragoClient(baseOf(server), doom)
  const clients = Array.from({ length: CLIENTS }, async () => {
    try {
      await actUntilDoom({ client, ledger, random })
    } catch (error) {
      if (!(error instanceof Cut)) throw error
    }
  })
  // One that found something wrong ends the round at once.
  await Promise.race([doom.come, Promise.all(clients)])
  await server.kill()
  await Promise.all(clients)
}

/** Sends what is missing, and again what is in doubt; what was acknowledged last stays as it is. */
async function makeWhole(server: ServerProcess, ledger: Ledger): Promise<void> {
  const client = new FragoClient(baseOf(server))
  for (const region of ledger.regions) {
    for (const { start, stop, versions } of ledger.piecesIn(region)) {
      const [version = 0, ...others] = versions
      if (others.length > 0) await store({ client, ledger }, start, stop, version)
    }
    for (const { start, stop } of ledger.gapsIn(region)) await store({ client, ledger }, start, stop, 0)
  }
  expect(ledger.isWhole).toBe(true)
}

/** What is there already is not there twice; other bytes take its place, and are not mistaken for it. */
async function expectTakesDifferentBytesSeriously(
  server: ServerProcess,
  upload: string,
  bytes: KeyedBytes,
  { start, stop }: Acknowledged,
): Promise<void> {
  const client = new FragoClient(baseOf(server))
  const chunk = { start, stop, total: bytes.length }
  const other = new KeyedBytes('other bytes', stop - start)
  for (const [pieces, duplicate] of [
    [() => bytes.pieces(start, stop), true],
    [() => other.pieces(), undefined],
    [() => other.pieces(), true],
    [() => bytes.pieces(start, stop), undefined],
  ] as const) {
    const { status, body } = await client.put(upload, chunk, pieces)
    expect([status, body.duplicate]).toEqual([200, duplicate])
  }
}

function baseOf({ port }: ServerProcess): string {
  return `http://127.0.0.1:${port}/upload/`
}

async function listedAt(server: ServerProcess, upload: string) {
  const { status, chunks } = await new FragoClient(baseOf(server)).list(upload)
  expect(status).toBe('in_progress')
  return chunks
}

function blobs(): string {
  return join(group.dataDir, 'blobs')
}

/** Names of finished files. Copies that a killed server was making have names of their own, and stay for a day. */
async function published(): Promise<readonly string[]> {
  const names = await readdir(join(group.dataDir, 'assembled'))
  return names.filter((name) => !isReservedName(name)).sort()
}

async function made(name: string): Promise<string> {
  const directory = join(group.dataDir, name)
  await mkdir(directory)
  return directory
}

/** What the server itself says went wrong. */
function failuresIn(server: ServerProcess): readonly string[] {
  return server.output.split('\n').filter((line) => /"level":[56]0/.test(line))
}

function digestsOf(pieces: Iterable<Buffer>): { readonly md5: string; readonly sha256: string } {
  const md5 = createHash('md5')
  const sha256 = createHash('sha256')
  for (const piece of pieces) {
    md5.update(piece)
    sha256.update(piece)
  }
  return { md5: md5.digest('hex'), sha256: sha256.digest('hex') }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(file, { highWaterMark: MIB })) hash.update(piece as Buffer)
  return hash.digest('hex')
}

function pick<T>(from: readonly T[], random: () => number): T {
  const chosen = from[Math.floor(random() * from.length)]
  if (chosen === undefined) throw new Error('there is nothing to choose from')
  return chosen
}

/** Neither rows nor files, once a sweep went over what the dead servers left. */
async function expectNothingLeft(server: ServerProcess): Promise<void> {
  expect(await server.stop()).toEqual({ code: 0, signal: null })
  expect(failuresIn(server)).toEqual([])
  const main = join(await builtDist(), 'src', 'main.js')
  const env = {
    ...{ PATH: process.env.PATH, DATA_DIR: group.dataDir, DATABASE_SCHEMA: group.schema.name },
    DATABASE_URL: databaseUrl(inject('database')),
  }
  await promisify(execFile)(process.execPath, [main, 'sweep'], { env })
  await expectSwept(group.schema, blobs(), 'after a sweep')
}
