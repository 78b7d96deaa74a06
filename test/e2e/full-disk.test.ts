import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectInvariants } from '../support/invariants.js'
import {
  type Answer,
  concatenate,
  create,
  createPart,
  downloadedDigest,
  offsetOf,
  patch,
  send,
} from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'
import type { ServerProcess } from '../support/server-process.js'
import { freeBytes, mountSmall, unmount } from '../support/small-disk.js'

/** A disk that is really full: a small tmpfs below the server's DATA_DIR. */

const KIB = 1024
const MIB = 1024 * KIB
const DISK = 12 * MIB

let group: ServerGroup
let server: ServerProcess
let blobs: string
let unable: string | null

beforeAll(async () => {
  group = await ServerGroup.make()
  blobs = join(group.dataDir, 'blobs')
  await mkdir(blobs)
  unable = await mountSmall(blobs, DISK)
  if (unable === null) server = await group.start()
})

afterAll(async () => {
  if (server) await server.end()
  if (unable === null) await unmount(blobs)
  await group.end()
})

const content = seededBytes('content', 4 * MIB)

/** Takes all room but so many bytes, with an upload like any other. Gives its URL: deleting it makes room. */
async function fillUpTo(left: number): Promise<string> {
  const filler = Buffer.alloc((await freeBytes(blobs)) - left, 1)
  const upload = await create(server.endpoint, filler.length)
  expect((await patch(upload, 0, filler)).status).toBe(204)
  return upload
}

async function remove(...uploads: readonly string[]): Promise<void> {
  for (const upload of uploads) expect((await send(upload, { method: 'DELETE' })).status).toBe(204)
}

/** Sends what is missing, and finds every byte in its place. */
async function expectToGoOn(upload: string): Promise<void> {
  const offset = await offsetOf(upload)
  const rest = await patch(upload, offset, content.subarray(offset))
  expect([rest.status, rest.headers['upload-offset']]).toEqual([204, String(content.length)])
  expect(await downloadedDigest(upload)).toBe(sha256(content))
  await expectInvariants(group.schema, blobs, 'after the upload went on')
}

test('a PATCH is answered with 507, keeps what found room, and goes on when there is more', async (context) => {
  if (unable !== null) return context.skip(unable)
  const filler = await fillUpTo(1 * MIB)
  const upload = await create(server.endpoint, content.length)
  expect((await patch(upload, 0, content)).status).toBe(507)
  const offset = await offsetOf(upload)
  expect(offset).toBeGreaterThan(0)
  expect(offset).toBeLessThanOrEqual(1 * MIB)
  expect((await patch(upload, offset, content.subarray(offset))).status).toBe(507)
  expect(await offsetOf(upload)).toBeGreaterThanOrEqual(offset)
  await expectInvariants(group.schema, blobs, 'on a full disk')
  await remove(filler)
  await expectToGoOn(upload)
  await remove(upload)
})

test.for<readonly [string, number, number]>([
  ['small', 700 * KIB, 300 * KIB],
  ['small', 700 * KIB, 0],
  ['large', 3 * MIB, 300 * KIB],
  ['large', 3 * MIB, 0],
])(
  'a creation with a %s body (%i bytes, room for %i) is answered with 201',
  async ([_size, body, room], context) => {
    if (unable !== null) return context.skip(unable)
    const filler = await fillUpTo(room)
    const answer = await send(server.endpoint, {
      method: 'POST',
      headers: {
        'Upload-Length': String(content.length),
        'Content-Type': 'application/offset+octet-stream',
      },
      body: content.subarray(0, body),
    })
    const upload = locationIn(answer)
    const offset = Number(answer.headers['upload-offset'])
    expect(offset).toBeLessThanOrEqual(room)
    expect(await offsetOf(upload)).toBe(offset)
    await expectInvariants(group.schema, blobs, 'on a full disk')
    await remove(filler)
    await expectToGoOn(upload)
    await remove(upload)
  },
)

test('an assembly waits for room, takes none from uploads meanwhile, and its content can be read', async (context) => {
  if (unable !== null) return context.skip(unable)
  const parts = await Promise.all([0, 1].map(() => createPart(server.endpoint, 2 * MIB)))
  for (const [index, part] of parts.entries()) {
    const half = content.subarray(index * 2 * MIB, (index + 1) * 2 * MIB)
    expect((await patch(part, 0, half)).status).toBe(204)
  }
  const filler = await fillUpTo(3 * MIB)
  const final = await concatenate(server.endpoint, parts)
  await expect
    .poll(() => group.count(`select count(*) from $s.assemblies where due_at > clock_timestamp()`))
    .toBe(1)
  expect(await downloadedDigest(final)).toBe(sha256(content))
  await expectInvariants(group.schema, blobs, 'on a full disk')

  const other = await create(server.endpoint, 2 * MIB)
  expect((await patch(other, 0, content.subarray(0, 2 * MIB))).status).toBe(204)
  expect(await downloadedDigest(other)).toBe(sha256(content.subarray(0, 2 * MIB)))

  await remove(filler, other)
  await group.schema.run('update $s.assemblies set due_at = clock_timestamp()')
  await expect.poll(() => group.count('select count(*) from $s.assemblies'), { interval: 200 }).toBe(0)
  expect(await downloadedDigest(final)).toBe(sha256(content))
  await remove(final, ...parts)
})

function locationIn({ status, headers, body }: Answer): string {
  expect(status, body).toBe(201)
  return new URL(headers.location ?? '', server.endpoint).href
}
