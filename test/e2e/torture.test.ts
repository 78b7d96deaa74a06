import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, expect, inject, test } from 'vitest'
import { builtDist } from '../support/built.js'
import { expectInvariants, expectSwept } from '../support/invariants.js'
import { seededRandom } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'
import { databaseUrl, type ServerProcess } from '../support/server-process.js'
import { expectCompletedOnce, expectKept, expectTakenOver } from '../support/torture/checks.js'
import { Client } from '../support/torture/client.js'
import { Journal } from '../support/torture/journal.js'
import { killUnderClients } from '../support/torture/round.js'

/**
 * Kills the server with SIGKILL at random moments of creations, PATCHes, finals and assemblies, starts it again and
 * goes on. TORTURE_ROUNDS and TORTURE_SEED repeat a run, as far as two processes can be made to repeat anything.
 */
const ROUNDS = Number(process.env.TORTURE_ROUNDS ?? 40)
const SEED = Number(process.env.TORTURE_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** This share of the finals is read after each kill, and all of them in the end. */
const READ = 0.25

const ROUND_MS = 10_000

/** From so many rounds on, every kind of work was killed at least once. */
const ENOUGH = 30

let group: ServerGroup | null = null

afterEach(async () => {
  await group?.end()
  group = null
})

test(
  `a server killed ${ROUNDS} times loses nothing it acknowledged (TORTURE_SEED=${SEED})`,
  async () => {
    const servers = await ServerGroup.make()
    group = servers
    const { schema, dataDir } = servers
    const blobs = join(dataDir, 'blobs')
    const random = seededRandom(SEED)
    const journal = new Journal()
    const killed = { claims: 0, assemblies: 0, finals: 0, mostLost: 0 }
    for (let round = 0; round < ROUNDS; round++) {
      const server = await servers.start()
      await expectTakenOver(schema)
      const lost = await expectKept(new Client(server.endpoint, null), journal, () => random() < READ)
      killed.mostLost = Math.max(killed.mostLost, lost)
      await expectCompletedOnce(schema, journal)
      await killUnderClients(server, journal, random)
      await expectInvariants(schema, blobs, `after kill ${round}`)
      killed.claims += await servers.count('select count(*) from $s.claims')
      killed.assemblies += await servers.count('select count(*) from $s.assemblies where epoch is not null')
      killed.finals += journal.asked.length
      expect(failuresIn(server)).toEqual([])
    }
    const last = await servers.start()
    const client = new Client(last.endpoint, null)
    await expectKept(client, journal)
    await finishAll(client, journal)
    await expectKept(client, journal)
    await assembleAll(servers)
    await expectKept(client, journal)
    await expectCompletedOnce(schema, journal)
    console.log(`${journal.entries.length} uploads; killed while under way: ${JSON.stringify(killed)}`)
    if (ROUNDS >= ENOUGH) expect(Math.min(killed.claims, killed.assemblies)).toBeGreaterThan(0)
    await deleteAll(servers, client)
    expect(await last.stop()).toEqual({ code: 0, signal: null })
    expect(failuresIn(last)).toEqual([])
    await runSweep(servers)
    await expectSwept(schema, blobs, 'after everything was deleted')
    expect(await servers.count('select count(*) from $s.blobs')).toBe(0)
  },
  60_000 + ROUNDS * ROUND_MS,
)

/** What the server itself says went wrong. */
function failuresIn(server: ServerProcess): readonly string[] {
  return server.output.split('\n').filter((line) => /"level":[56]0/.test(line))
}

/** Every upload goes on from where it is to its end. */
async function finishAll(client: Client, { living }: Journal): Promise<void> {
  for (const { id, bytes, state, acknowledged } of living) {
    if (bytes === null || state !== 'open') continue
    const answer = await client.send(id, {
      method: 'PATCH',
      headers: { 'Upload-Offset': String(acknowledged), 'Content-Type': 'application/offset+octet-stream' },
      body: bytes.pieces(acknowledged),
      length: bytes.length - acknowledged,
    })
    expect(answer.status).toBe(204)
  }
}

/** Waits until no final is in pieces. */
async function assembleAll(servers: ServerGroup): Promise<void> {
  await servers.schema.run('update $s.assemblies set due_at = clock_timestamp() where epoch is null')
  await expect.poll(() => servers.count('select count(*) from $s.assemblies'), { interval: 100 }).toBe(0)
}

/** All there is, that nobody knows the address of included. */
async function deleteAll({ schema }: ServerGroup, client: Client): Promise<void> {
  for (const { id } of await schema.run<{ id: string }>('select id from $s.uploads')) {
    expect((await client.send(id, { method: 'DELETE' })).status).toBe(204)
  }
}

async function runSweep({ dataDir, schema }: ServerGroup): Promise<void> {
  const main = join(await builtDist(), 'src', 'main.js')
  const env = {
    ...{ PATH: process.env.PATH, DATA_DIR: dataDir, DATABASE_SCHEMA: schema.name },
    DATABASE_URL: databaseUrl(inject('database')),
  }
  await promisify(execFile)(process.execPath, [main, 'sweep'], { env })
}
