import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { connect } from '../../stores/postgres/database.js'
import { readPidFile } from '../../stores/postgres/embedded/pid-file.js'
import { startEmbeddedPostgres } from '../../stores/postgres/embedded.js'
import { scratchDirectory } from '../support/embedded-scratch.js'
import { expectInvariants } from '../support/invariants.js'
import { seededRandom } from '../support/seeded.js'
import { ServerProcess } from '../support/server-process.js'
import { expectKept } from '../support/torture/checks.js'
import { Client } from '../support/torture/client.js'
import { Journal } from '../support/torture/journal.js'
import { killUnderClients } from '../support/torture/round.js'

const ROUNDS = 4
const SEED = Number(process.env.TORTURE_SEED ?? Math.floor(Math.random() * 2 ** 31))

test(`a killed server's own PostgreSQL is adopted with all it recorded (TORTURE_SEED=${SEED})`, async () => {
  const dataDir = await scratchDirectory()
  const random = seededRandom(SEED)
  const journal = new Journal()
  const start = async () => {
    const server = await ServerProcess.start({ dataDir, database: 'embedded' })
    onTestFinished(() => server.end())
    return server
  }
  let postmaster: number | undefined
  for (let round = 0; round < ROUNDS; round++) {
    const server = await start()
    const { pid } = (await readPidFile(join(dataDir, 'postgres'))) ?? { pid: 0 }
    if (postmaster !== undefined) expect(pid, 'the postmaster outlives its server').toBe(postmaster)
    postmaster = pid
    await expectKept(new Client(server.endpoint, null), journal)
    await killUnderClients(server, journal, random)
  }
  const last = await start()
  await expectKept(new Client(last.endpoint, null), journal)
  expect(await last.stop()).toEqual({ code: 0, signal: null })
  await expectTheirInvariants(dataDir)
})

/** Nothing runs any more: the test itself starts the database to look into it. */
async function expectTheirInvariants(directory: string): Promise<void> {
  const postgres = await startEmbeddedPostgres({ directory })
  const knex = connect({ ...postgres.connection }, 1)
  try {
    const run = async <Row>(sql: string) =>
      ((await knex.raw(sql.replaceAll('$s', 'tributary'))) as { rows: Row[] }).rows
    await expectInvariants({ run }, join(directory, 'blobs'), 'after the last start')
  } finally {
    await knex.destroy()
    await postgres.stop()
  }
}
