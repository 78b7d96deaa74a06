import { afterEach, beforeEach, expect, test } from 'vitest'
import { KeyedBytes } from '../support/keyed-bytes.js'
import { at, create, downloadedDigest, offsetOf, openPatch, patch } from '../support/raw-tus.js'
import { ServerGroup } from '../support/server-group.js'

/** How much of a PATCH a killed server may lose: DESIGN, "How data flows". */

const MIB = 1024 * 1024

/** Bytes the operating system took from the client and may still have had in its sockets. */
const SOCKETS = 16 * MIB

let group: ServerGroup

beforeEach(async () => {
  group = await ServerGroup.make()
})

afterEach(async () => {
  await group.end()
})

test('a PATCH loses 64 MiB at most', async () => {
  const bytes = new KeyedBytes('much', 256 * MIB)
  const server = await group.start()
  const upload = await create(server.endpoint, bytes.length)
  const sending = openPatch(upload, 0, bytes.length)
  const sent = 200 * MIB
  for (const piece of bytes.pieces(0, sent, MIB)) await sending.write(piece)
  await server.kill()
  await expect(sending.answer).rejects.toThrow()

  const again = at((await group.start()).endpoint, upload)
  const offset = await offsetOf(again)
  expect(offset).toBeGreaterThanOrEqual(sent - 64 * MIB - SOCKETS)
  expect((await patch(again, offset, bytes.slice(offset))).status).toBe(204)
  expect(await downloadedDigest(again)).toBe(bytes.sha256())
})

test('a PATCH that brings little is recorded all the same while it runs', async () => {
  const bytes = new KeyedBytes('little', 1000)
  const server = await group.start()
  const upload = await create(server.endpoint, bytes.length)
  const sending = openPatch(upload, 0, bytes.length)
  await sending.write(bytes.slice(0, 700))
  await expect.poll(() => group.count('select coalesce(max(stop), 0) as count from $s.received')).toBe(700)
  await server.kill()

  const again = at((await group.start()).endpoint, upload)
  expect(await offsetOf(again)).toBe(700)
  expect((await patch(again, 700, bytes.slice(700))).status).toBe(204)
  expect(await downloadedDigest(again)).toBe(bytes.sha256())
})
