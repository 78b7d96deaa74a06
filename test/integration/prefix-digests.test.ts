import { createHash, randomUUID } from 'node:crypto'
import { mkdir, rename, rm, truncate } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Readable } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import type { Digest } from '../../src/upload/digest.js'
import { silent } from '../../src/upload/log.js'
import type { DigestTurn, Prefix } from '../../src/upload/ports.js'
import { PrefixDigests } from '../../src/upload/prefix-digests.js'
import type { Upload } from '../../src/upload/upload.js'
import { BlobFiles } from '../../stores/disk/blob-files.js'
import { fileCalls } from '../../stores/disk/file-calls.js'
import { openDiskStore, WatchedCalls } from '../support/disk-store.js'
import { seededBytes } from '../support/seeded.js'

/** Digests of what lies on a real disk, worked out by real threads. The registry is one row, kept here. */

const MIB = 1024 * 1024
const LENGTH = 256 * MIB
const CHUNK = 8 * MIB
/** What DiskByteStore reads at a time. */
const READ = 512 * 1024

test('follows 256 MiB of chunks as they come, and then has nothing left to read', async () => {
  const { digests, calls, row, upload, store } = await stage()
  const expected = createHash('md5')
  for (let start = 0; start < LENGTH; start += CHUNK) {
    expected.update(await store(start))
    row.stop = start + CHUNK
    digests.follow(upload, 'md5')
  }
  await expect.poll(() => row.digest).not.toBeNull()
  expect(calls.count('read')).toBe(LENGTH / READ)

  const { digest, token } = await digests.digest(upload, 'md5')
  expect(digest.bytes.toString('hex')).toBe(expected.digest('hex'))
  expect(token).toBeNull()
  expect(calls.count('read')).toBe(LENGTH / READ)
  expect(calls.openFiles.size).toBe(0)
})

test('of chunks in any order, each byte is read once, and only the tail when it is finished', async () => {
  const { digests, calls, row, upload, store } = await stage()
  const starts = Array.from({ length: LENGTH / CHUNK }, (_, index) => index * CHUNK)
  const shuffled = starts.toSorted((a, b) => ((a * 7) % 31) - ((b * 7) % 31))
  const chunks = new Map<number, Buffer>()
  for (const start of shuffled.slice(0, -1)) {
    chunks.set(start, await store(start))
    row.stop = starts.find((each) => !chunks.has(each)) ?? LENGTH
    digests.follow(upload, 'sha256')
  }
  const followed = row.stop
  await expect.poll(() => calls.count('read')).toBe(followed / READ)
  const [last = 0] = shuffled.slice(-1)
  chunks.set(last, await store(last))
  row.stop = LENGTH

  const { digest, token } = await digests.digest(upload, 'sha256')
  const expected = createHash('sha256')
  for (const start of starts) expected.update(chunks.get(start) ?? '')
  expect(digest.bytes.toString('hex')).toBe(expected.digest('hex'))
  expect(token).toBe(row.token)
  expect(calls.count('read')).toBe(LENGTH / READ)
})

test('in the middle of a file it can be closed, and leaves nothing open', async () => {
  const { digests, calls, row, upload, store } = await stage()
  for (let start = 0; start < LENGTH / 4; start += CHUNK) await store(start)
  row.stop = LENGTH / 4
  digests.follow(upload, 'sha3_512')
  await expect.poll(() => calls.count('read')).toBeGreaterThan(3)
  await digests.close()
  await expect.poll(() => calls.openFiles.size).toBe(0)
  expect([row.digest, row.token]).toEqual([null, null])
})

test('where the blobs are files like any other, the thread reads them, and goes on after a move', async () => {
  const { digests, calls, row, upload, store, move } = await stage('by the thread')
  const expected = createHash('md5')
  for (let start = 0; start < LENGTH; start += CHUNK) {
    expected.update(await store(start))
    row.stop = start + CHUNK
    digests.follow(upload, 'md5')
    if (start === LENGTH / 2) await move()
  }
  const { digest } = await digests.digest(upload, 'md5')
  expect(digest.bytes.toString('hex')).toBe(expected.digest('hex'))
  expect(calls.count('read')).toBe(0)
})

test.each([
  ['a blob that is gone', 'blob_gone', (path: string) => rm(path)],
  ['a blob that is too short', 'storage_failed', (path: string) => truncate(path, CHUNK + 1)],
  ['a blob that cannot be read', 'storage_failed', (path: string) => rm(path).then(() => mkdir(path))],
])('%s fails as it does when this thread reads', async (_what, code, spoil) => {
  for (const reader of ['by this thread', 'by the thread'] as const) {
    const { digests, row, upload, store, path } = await stage(reader)
    for (let start = 0; start < LENGTH; start += LENGTH - CHUNK) await store(start)
    row.stop = LENGTH
    await spoil(path())
    const failure: unknown = await digests.digest(upload, 'md5').catch((error: unknown) => error)
    expect(failure).toMatchObject({ code })
    expect(String(failure)).not.toContain(upload.id)
    expect(String(failure)).not.toContain('/')
    expect(row.token).toBeNull()
  }
})

async function stage(reader: 'by this thread' | 'by the thread' = 'by this thread') {
  const calls = new WatchedCalls()
  const fs = reader === 'by this thread' ? { fs: calls } : {}
  const { store: bytes, directory } = await openDiskStore({ ...fs, durability: 'relaxed' })
  let blob = { id: randomUUID(), epoch: 1 }
  const row = new Row()
  const registry = {
    prefix: async (): Promise<Prefix> => ({
      stop: row.stop,
      extents: [{ start: 0, stop: row.stop, blob, blobOffset: 0 }],
    }),
    takeDigest: async (): Promise<DigestTurn> => row.take(),
    noteDigest: async (_id: string, token: number, digest: Digest) => row.note(token, digest),
    leaveDigest: async () => {
      row.token = null
    },
    handedBack: async () => undefined,
    onDigestWanted: () => () => undefined,
  }
  const digests = new PrefixDigests({ registry, bytes, log: silent })
  onTestFinished(() => digests.close())
  /** A chunk as it comes in: written at its place, into a file that has holes before it. */
  const store = async (start: number): Promise<Buffer> => {
    const chunk = seededBytes(`chunk at ${start}`, CHUNK)
    const source = Readable.from([chunk], { objectMode: false })
    await bytes.write(blob, start, source, { limit: CHUNK, fresh: true }).done
    return chunk
  }
  const path = (): string => new BlobFiles(directory, fileCalls, false).path(blob).file
  /** As an assembly: the same bytes in another blob. */
  const move = async (): Promise<void> => {
    const from = path()
    blob = { id: randomUUID(), epoch: 1 }
    await mkdir(dirname(path()), { recursive: true })
    await rename(from, path())
  }
  return { digests, calls, row, upload: uploadOf(LENGTH), store, path, move }
}

/** What the registry knows of the one upload. */
class Row {
  stop = 0
  token: number | null = null
  digest: Digest | null = null
  #tokens = 0

  take(): DigestTurn {
    if (this.digest !== null) return { outcome: 'known', digest: this.digest }
    this.#tokens += 1
    this.token = this.#tokens
    return { outcome: 'ours', token: this.token }
  }

  note(token: number, digest: Digest): boolean {
    if (token !== this.token) return false
    this.digest = digest
    this.token = null
    return true
  }
}

function uploadOf(length: number): Upload {
  return {
    id: randomUUID(),
    owner: null,
    kind: 'whole',
    protocol: 'frago',
    length,
    offset: 0,
    metadata: null,
    filename: null,
    status: 'in_progress',
    digest: null,
    createdAt: new Date(0),
    completedAt: null,
    expiresAt: null,
    partNames: null,
  }
}
