import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { KeyedBytes } from '../support/keyed-bytes.js'
import { concatenate, createPart, downloadedDigest, openPatch } from '../support/raw-tus.js'
import { ServerGroup } from '../support/server-group.js'
import { digestOf, joined } from '../support/torture/content.js'

const MIB = 1024 * 1024

const SMALL = 64
const LARGE = 512

/** Garbage, and when it is collected, makes more of a difference than this test; a body kept whole makes all of it. */
const MOST_GROWTH = (LARGE - SMALL) / 5

const PARTS = 8

let group: ServerGroup

beforeEach(async () => {
  group = await ServerGroup.make()
})

afterEach(async () => {
  await group.end()
})

/** Law 7. */
test('the memory of a server does not grow with the size of an upload', async (context) => {
  if (process.platform !== 'linux') return context.skip('the peak of memory is read from procfs')
  const small = await peakOfUpload(SMALL)
  const large = await peakOfUpload(LARGE)
  expect(large - small).toBeLessThan(MOST_GROWTH)
})

/** Uploads so many MiB in parts side by side, joins, assembles and downloads them. Gives the server's peak in MiB. */
async function peakOfUpload(mib: number): Promise<number> {
  const server = await group.start()
  const contents = Array.from({ length: PARTS }, (_, part) => {
    return new KeyedBytes(`${mib} MiB, part ${part}`, (mib / PARTS) * MIB)
  })
  const parts = await Promise.all(contents.map((content) => uploadPart(server.endpoint, content)))
  const final = await concatenate(server.endpoint, parts)
  const digest = digestOf(joined(contents))
  expect(await downloadedDigest(final)).toBe(digest)
  await expect
    .poll(() => group.count('select count(*) from $s.assemblies'), { timeout: 60_000, interval: 100 })
    .toBe(0)
  expect(await downloadedDigest(final)).toBe(digest)
  const status = await readFile(`/proc/${server.pid}/status`, 'utf8')
  await server.stop()
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

async function uploadPart(endpoint: string, content: KeyedBytes): Promise<string> {
  const part = await createPart(endpoint, content.length)
  const sending = openPatch(part, 0, content.length)
  for (const piece of content.pieces(0, content.length, MIB)) await sending.write(piece)
  sending.end()
  expect((await sending.answer).status).toBe(204)
  return part
}
