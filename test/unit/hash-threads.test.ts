import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { createHasher, type Digest, type DigestAlgorithm } from '../../src/upload/digest.js'
import {
  type FilesWanted,
  HashThreadLost,
  HashThreads,
  type RemoteHasher,
} from '../../src/upload/hash-threads.js'
import { seededBytes, seededRandom } from '../support/seeded.js'

const MIB = 1024 * 1024
const THREAD = new URL('../../src/upload/hash-thread.mjs', import.meta.url)

const ALGORITHMS = Object.keys({
  crc32: 1,
  md5: 1,
  sha1: 1,
  sha224: 1,
  sha256: 1,
  sha384: 1,
  sha512: 1,
  sha3_224: 1,
  sha3_256: 1,
  sha3_384: 1,
  sha3_512: 1,
  blake2b: 1,
  blake2s: 1,
} satisfies Record<DigestAlgorithm, 1>) as DigestAlgorithm[]

let opened: HashThreads[] = []

afterEach(async () => {
  await Promise.all(opened.map((threads) => threads.close()))
  opened = []
})

/** Threads that a test can end, and those started so far. */
function open(most = 2, start = () => new Worker(THREAD)): { threads: HashThreads; workers: Worker[] } {
  const workers: Worker[] = []
  const threads = new HashThreads({
    most,
    start: () => {
      const worker = start()
      workers.push(worker)
      return worker
    },
  })
  opened.push(threads)
  return { threads, workers }
}

function local(algorithm: DigestAlgorithm, bytes: Buffer): Digest {
  const hasher = createHasher(algorithm)
  hasher.update(bytes)
  return hasher.digest()
}

/** Pieces with memory of their own, pieces of the whole, and empty ones. */
async function feed(hasher: RemoteHasher, bytes: Buffer, random: () => number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const piece = bytes.subarray(at, at + Math.floor(random() ** 3 * 300_000))
    at += piece.length
    await hasher.update(random() < 0.5 ? piece : Buffer.from(new Uint8Array(piece).buffer))
  }
}

describe('hashing in a thread', () => {
  test.each(ALGORITHMS)('gives the same %s, however the bytes are split', async (algorithm) => {
    const { threads } = open()
    const bytes = seededBytes(algorithm, MIB + 17)
    const expected = local(algorithm, bytes)
    for (const seed of [1, 2, 3]) {
      const hasher = threads.open(algorithm)
      await feed(hasher, bytes, seededRandom(seed))
      expect(await hasher.digest()).toEqual(expected)
    }
    expect(await threads.open(algorithm).digest()).toEqual(local(algorithm, Buffer.alloc(0)))
  })

  test('keeps many hashers apart, on no more threads than allowed', async () => {
    const { threads, workers } = open(2)
    const run = async (seed: number) => {
      const bytes = seededBytes(`many ${seed}`, 200_000 + seed)
      const expected = local('sha256', bytes)
      const hasher = threads.open('sha256')
      await feed(hasher, bytes, seededRandom(seed))
      expect(await hasher.digest()).toEqual(expected)
    }
    await Promise.all(Array.from({ length: 20 }, (_, seed) => run(seed)))
    expect(workers).toHaveLength(2)
  })

  test('starts no thread before it is needed, and no second one while the first has nothing to do', async () => {
    const { threads, workers } = open(2)
    expect(workers).toHaveLength(0)
    for (let round = 0; round < 3; round++) await threads.open('md5').digest()
    expect(workers).toHaveLength(1)
  })

  test('moves memory that belongs to the buffer alone, and copies pieces of something larger', async () => {
    const { threads } = open()
    const hasher = threads.open('md5')
    const whole = Buffer.alloc(100_000, 'w')
    const larger = Buffer.alloc(100_000, 'l')
    await hasher.update(whole)
    await hasher.update(larger.subarray(1))
    await hasher.update(Buffer.from('small, of the pool'))
    expect([whole.length, larger.length]).toEqual([0, 100_000])
    const all = [Buffer.alloc(100_000, 'w'), larger.subarray(1), Buffer.from('small, of the pool')]
    expect(await hasher.digest()).toEqual(local('md5', Buffer.concat(all)))
  })

  test('takes no more than a few MiB before they are hashed', async () => {
    // A thread that hears everything and is never through with anything.
    const silent = () =>
      new Worker('require("node:worker_threads").parentPort.on("message", () => {})', { eval: true })
    const { threads } = open(1, silent)
    const hasher = threads.open('md5')
    let taken = 0
    const fed = (async () => {
      for (;;) {
        await hasher.update(Buffer.alloc(MIB))
        taken += 1
      }
    })()
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(taken).toBe(1)
    hasher.close()
    await expect(fed).rejects.toThrow('closed')
  })

  test('takes more as soon as there is room', async () => {
    const { threads } = open(1)
    const hasher = threads.open('sha1')
    const bytes = seededBytes('room', 20 * MIB)
    const expected = local('sha1', bytes)
    for (let at = 0; at < bytes.length; at += MIB) await hasher.update(bytes.subarray(at, at + MIB))
    expect(await hasher.digest()).toEqual(expected)
  })

  test('gives one digest and takes nothing after it', async () => {
    const { threads } = open()
    const hasher = threads.open('md5')
    const digest = hasher.digest()
    await expect(hasher.digest()).rejects.toThrow('already')
    await expect(hasher.update(Buffer.alloc(1))).rejects.toThrow('already')
    expect(await digest).toEqual(local('md5', Buffer.alloc(0)))
  })
})

describe('files that the thread reads by itself', () => {
  test('are hashed between other bytes, whatever part of them', async () => {
    const { hasher, bytes, path } = await fileStage()
    const before = seededBytes('before', 1000)
    const expected = local('md5', Buffer.concat([before, bytes.subarray(7, 2 * MIB + 9), bytes, before]))
    await hasher.update(Buffer.from(before))
    const files = [
      { path, from: 7, to: 2 * MIB + 9 },
      { path, from: 0, to: bytes.length },
    ]
    const hashed = 2 * MIB + 2 + bytes.length
    expect(await hasher.updateFrom(files, FOLLOWED)).toEqual({ hashed, ended: 'end' })
    await hasher.update(Buffer.from(before))
    expect(await hasher.digest()).toEqual(expected)
  })

  test.each(['gone', 'short', 'failed'])('and are %s: it goes on behind what was hashed', async (ended) => {
    const { hasher, bytes, path, directory } = await fileStage()
    const whole = { path, from: 0, to: bytes.length }
    const bad = {
      gone: { path: join(directory, 'nowhere'), from: 0, to: 1 },
      short: { path, from: bytes.length - 5, to: bytes.length + 1 },
      failed: { path: directory, from: 0, to: 1 },
    }[ended]
    if (bad === undefined) throw new Error(ended)
    const hashed = bytes.length + (ended === 'short' ? 5 : 0)
    expect(await hasher.updateFrom([whole, bad, whole], FOLLOWED)).toMatchObject({ hashed, ended })
    await hasher.updateFrom([whole], FOLLOWED)
    const between = ended === 'short' ? bytes.subarray(-5) : Buffer.alloc(0)
    expect(await hasher.digest()).toEqual(local('md5', Buffer.concat([bytes, between, bytes])))
  })

  test('wait for their turn: those somebody waits for by then go first, others may be wanted no more', async () => {
    const { threads, path, bytes } = await fileStage()
    const order: string[] = []
    const read = async (name: string, whom: FilesWanted) => {
      const hasher = threads.open('md5')
      const { ended } = await hasher.updateFrom([{ path, from: 0, to: bytes.length }], whom)
      order.push(`${name} ${ended}`)
    }
    let awaited = false
    let interrupted = false
    const reads = [
      read('first', FOLLOWED),
      read('second', FOLLOWED),
      read('third', FOLLOWED),
      read('dropped', { isAwaited: () => false, isInterrupted: () => interrupted }),
      read('awaited', { isAwaited: () => awaited, isInterrupted: () => false }),
    ]
    awaited = true
    interrupted = true
    await Promise.all(reads)
    expect(order.filter((each) => !each.startsWith('dropped'))).toEqual([
      'first end',
      'second end',
      'awaited end',
      'third end',
    ])
    expect(order).toContain('dropped dropped')
  })

  test('are lost with the thread, and closed with the hasher', async () => {
    const { threads, hasher, path, workers } = await fileStage()
    const files = [{ path, from: 0, to: 3 * MIB }]
    const closed = hasher.updateFrom(files, FOLLOWED)
    const closing = expect(closed).rejects.toThrow('closed')
    hasher.close()
    await closing
    // Two are under way, one waits for its turn.
    const all = [1, 2, 3].map(() => threads.open('md5').updateFrom(files, FOLLOWED))
    const losing = Promise.all(all.map((each) => expect(each).rejects.toThrow(HashThreadLost)))
    await workers[0]?.terminate()
    await losing
  })
})

const FOLLOWED: FilesWanted = { isAwaited: () => false, isInterrupted: () => false }

async function fileStage() {
  const directory = await mkdtemp(join(tmpdir(), 'tributary-hash-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const bytes = seededBytes('file', 3 * MIB + 11)
  const path = join(directory, 'file')
  await writeFile(path, bytes)
  const { threads, workers } = open(1)
  return { threads, workers, hasher: threads.open('md5'), bytes, path, directory }
}

describe('a thread that dies', () => {
  test('rejects what was under way, and another one is there for the next', async () => {
    const { threads, workers } = open(1)
    const [first, second] = [threads.open('md5'), threads.open('sha1')]
    await first.update(Buffer.alloc(10))
    const updating = Promise.all([second.update(Buffer.alloc(4 * MIB)), second.update(Buffer.alloc(MIB))])
    const digesting = first.digest()
    const rejected = Promise.all([
      expect(updating).rejects.toThrow(HashThreadLost),
      expect(digesting).rejects.toThrow(HashThreadLost),
    ])
    await workers[0]?.terminate()
    await rejected
    await expect(second.update(Buffer.alloc(1))).rejects.toThrow(HashThreadLost)

    expect(await threads.open('md5').digest()).toEqual(local('md5', Buffer.alloc(0)))
    expect(workers).toHaveLength(2)
  })

  test('of an error of its own says which', async () => {
    const failing = () =>
      new Worker(
        'require("node:worker_threads").parentPort.once("message", () => { throw new Error("bad day") })',
        {
          eval: true,
        },
      )
    const { threads, workers } = open(1, failing)
    const digesting = threads.open('md5').digest()
    await expect(digesting).rejects.toMatchObject({ name: 'HashThreadLost', cause: { message: 'bad day' } })
    expect(workers).toHaveLength(1)
  })

  test('that cannot be started rejects, too', async () => {
    const { threads } = open(1, () => new Worker(new URL('file:///nowhere/at-all.mjs')))
    await expect(threads.open('md5').digest()).rejects.toThrow(HashThreadLost)
  })
})

describe('closing', () => {
  test('ends all threads, rejects what is awaited, and opens nothing more', async () => {
    const { threads, workers } = open(2)
    const hasher = threads.open('md5')
    const exits = workers.map((worker) => once(worker, 'exit'))
    const digesting = expect(
      hasher.update(Buffer.alloc(8 * MIB)).then(() => hasher.digest()),
    ).rejects.toThrow(HashThreadLost)
    await threads.close()
    await Promise.all([digesting, ...exits])
    expect(() => threads.open('md5')).toThrow('closed')
    await threads.close()
  })

  test('a hasher that is closed lets go of its place, and its thread goes on', async () => {
    const { threads, workers } = open(1)
    const [closed, other] = [threads.open('md5'), threads.open('md5')]
    await closed.update(Buffer.alloc(10))
    closed.close()
    closed.close()
    await expect(closed.digest()).rejects.toThrow('closed')
    expect(await other.digest()).toEqual(local('md5', Buffer.alloc(0)))
    expect(workers).toHaveLength(1)
  })

  test('threads keep no process alive', async () => {
    const script = `
      const { Worker } = require('node:worker_threads')
      const worker = new Worker(new URL(${JSON.stringify(THREAD.href)}))
      worker.on('message', () => {})
      worker.unref()`
    // The thread of a process whose main script has ended, in a thread itself, so that nothing has to be built.
    const outer = new Worker(script, { eval: true })
    onTestFinished(() => void outer.terminate())
    expect(await once(outer, 'exit')).toEqual([0])
  })
})
