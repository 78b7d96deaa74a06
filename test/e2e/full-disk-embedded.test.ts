import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { WORKING_ROOM } from '../../stores/postgres/embedded/cluster.js'
import { readPidFile } from '../../stores/postgres/embedded/pid-file.js'
import { scratchDirectory } from '../support/embedded-scratch.js'
import { create, downloadedDigest, head, offsetOf, patch, send } from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { freeBytes, mountSmall, unmount } from '../support/small-disk.js'
import { startTributary, type Tributary } from '../support/tributary.js'

/** A whole server, its embedded database included, on one small disk that uploads fill. */

const MIB = 1024 * 1024

/** A new database takes 32 MiB, the reserve 64: some 100 are left for uploads. */
const DISK = 200 * MIB

/** What the database may have taken of its reserve meanwhile: segments of its WAL and some rows. */
const DATABASE_TOOK = 16 * MIB

async function smallDisk(skip: (reason: string) => void): Promise<string> {
  const mounted = await mkdtemp(join(tmpdir(), 'tributary-small-'))
  const unable = await mountSmall(mounted, DISK)
  onTestFinished(async () => {
    if (unable === null) await unmount(mounted)
    await rm(mounted, { recursive: true, force: true })
  })
  if (unable !== null) skip(unable)
  return mounted
}

async function readiness(server: Tributary): Promise<[number, Record<string, unknown>]> {
  const { status, body } = await send(`${server.origin}/readyz`)
  return [status, JSON.parse(body) as Record<string, unknown>]
}

async function expectFull(server: Tributary): Promise<void> {
  expect(await readiness(server)).toEqual([
    503,
    { ready: false, database: 'up', storage: 'The storage has no room for more bytes.' },
  ])
}

/** Uploads until one is refused for want of room; gives the URLs, the unfinished one last. */
async function fill(endpoint: string): Promise<string[]> {
  const body = Buffer.alloc(16 * MIB, 1)
  const uploads: string[] = []
  for (;;) {
    const upload = await create(endpoint, body.length)
    uploads.push(upload)
    const { status } = await patch(upload, 0, body)
    if (status === 507) return uploads
    expect(status).toBe(204)
    expect(uploads.length).toBeLessThan(DISK / body.length)
  }
}

async function restart(server: Tributary, dataDir: string): Promise<Tributary> {
  expect(await server.end('SIGTERM')).toEqual({ code: 0, signal: null })
  return startTributary({ env: { DATA_DIR: dataDir } })
}

async function remove(upload: string): Promise<void> {
  expect((await send(upload, { method: 'DELETE' })).status).toBe(204)
}

/** An upload's URL as the server knows it after a restart, on another port. */
function on(server: Tributary, upload: string): string {
  return new URL(new URL(upload).pathname, server.origin).href
}

test('uploads fill the disk, and the database goes on: DELETE, restart, and the rest of an upload', async ({
  skip,
}) => {
  const dataDir = await scratchDirectory(await smallDisk(skip))
  let server = await startTributary({ env: { DATA_DIR: dataDir } })
  expect((await readiness(server))[0]).toBe(200)

  const content = seededBytes('content', 40 * MIB)
  let upload = await create(server.url, content.length)
  expect((await patch(upload, 0, content.subarray(0, 10 * MIB))).status).toBe(204)
  let fillers = await fill(server.url)
  const reached = await offsetOf(fillers.at(-1) ?? '')
  await expectFull(server)
  expect(await freeBytes(dataDir)).toBeGreaterThan(WORKING_ROOM - DATABASE_TOOK)

  expect((await patch(upload, 10 * MIB, content.subarray(10 * MIB))).status).toBe(507)
  const offset = await offsetOf(upload)
  expect(offset).toBeGreaterThanOrEqual(10 * MIB)
  const small = await send(server.url, {
    method: 'POST',
    headers: { 'Upload-Length': '1000', 'Content-Type': 'application/offset+octet-stream' },
    body: Buffer.alloc(1000),
  })
  expect([small.status, small.headers['upload-offset']]).toEqual([201, '0'])

  // Again and again: what is written to the database meanwhile must not use up its room.
  for (let round = 1; round <= 2; round++) {
    server = await restart(server, dataDir)
    upload = on(server, upload)
    fillers = fillers.map((filler) => on(server, filler))
    await expectFull(server)
    for (let count = 0; count < 200; count++) await remove(await create(server.url, MIB))
    expect(await offsetOf(upload)).toBe(offset)
    expect(await offsetOf(fillers.at(-1) ?? '')).toBe(reached)
  }

  for (const filler of fillers) await remove(filler)
  expect((await head(fillers[0] ?? '')).status).toBe(404)
  expect((await readiness(server))[0]).toBe(200)
  expect((await patch(upload, offset, content.subarray(offset))).status).toBe(204)
  expect(await downloadedDigest(upload)).toBe(sha256(content))
  expect(await server.end('SIGTERM')).toEqual({ code: 0, signal: null })
})

test('a database killed on a full disk recovers there', async ({ skip }) => {
  const dataDir = await scratchDirectory(await smallDisk(skip))
  const server = await startTributary({ env: { DATA_DIR: dataDir } })
  const fillers = await fill(server.url)
  await server.end('SIGKILL')
  const postmaster = (await readPidFile(join(dataDir, 'postgres')))?.pid
  if (postmaster === undefined) throw new Error('the database left no postmaster.pid')
  process.kill(postmaster, 'SIGKILL')
  const next = await startTributary({ env: { DATA_DIR: dataDir } })
  await expectFull(next)
  for (const filler of fillers) await remove(on(next, filler))
  expect((await readiness(next))[0]).toBe(200)
  expect(await next.end('SIGTERM')).toEqual({ code: 0, signal: null })
})
