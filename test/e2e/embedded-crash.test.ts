import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readPidFile } from '../../stores/postgres/embedded/pid-file.js'
import { scratchDirectory } from '../support/embedded-scratch.js'
import { create, downloadedDigest, offsetOf, patch } from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { ServerProcess } from '../support/server-process.js'
import { TusClient } from '../support/tus-client.js'

const KIB = 1024

test('an embedded database that is killed comes back under the running server', async () => {
  const dataDir = await scratchDirectory()
  const server = await ServerProcess.start({ dataDir, database: 'embedded' })
  onTestFinished(() => server.end())

  const kept = seededBytes('kept', 300 * KIB)
  const upload = await create(server.endpoint, kept.length)
  expect((await patch(upload, 0, kept.subarray(0, 200 * KIB))).status).toBe(204)

  const content = seededBytes('under way', 16 * 1024 * KIB)
  const client = new TusClient(content, {
    endpoint: server.endpoint,
    parallelUploads: 4,
    chunkSize: 256 * KIB,
    stallsAfter: 20_000,
  })
  const running = client.run()
  for (const share of [0.2, 0.6]) {
    await client.hasSent(content.length * share)
    const before = await postmaster(dataDir)
    process.kill(before, 'SIGKILL')
    await expect.poll(() => postmaster(dataDir)).not.toBe(before)
  }

  expect(await downloadedDigest(await running)).toBe(sha256(content))
  expect(client.creations).toHaveLength(4)
  expect(await offsetOf(upload)).toBe(200 * KIB)
  expect((await patch(upload, 200 * KIB, kept.subarray(200 * KIB))).status).toBe(204)
  expect(await downloadedDigest(upload)).toBe(sha256(kept))
  expect(server.isRunning).toBe(true)
  expect(await server.stop()).toEqual({ code: 0, signal: null })
})

async function postmaster(dataDir: string): Promise<number> {
  return (await readPidFile(join(dataDir, 'postgres')))?.pid ?? 0
}
