import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { busy, UploadError } from '../../src/upload/errors.js'
import type { UploadRegistry } from '../../src/upload/ports.js'
import { type FragoClient, md5, partHead, rangeOf } from '../support/frago-client.js'
import { FragoStage } from '../support/frago-stage.js'
import { Gate } from '../support/gate.js'
import { RawClient } from '../support/raw-client.js'

let stage: FragoStage

beforeEach(async () => {
  stage = await FragoStage.open()
})

afterEach(() => stage.close())

/** A registry some of whose methods are others; the rest keeps its own `this`. */
function around(registry: UploadRegistry, methods: Partial<UploadRegistry>): UploadRegistry {
  return new Proxy(registry, {
    get: (target, name) => {
      const own = methods[name as keyof UploadRegistry]
      if (own !== undefined) return own
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

const AWAY = () => new UploadError('registry_unavailable', 'The database is away.')

describe('a replacing chunk whose answer from the database is lost', () => {
  test('keeps its bytes where later chunks refer to them', async () => {
    const [recorded, mayTryAgain] = [new Gate(), new Gate()]
    let held = true
    const slow = await stage.serve({
      registry: (registry) =>
        around(registry, {
          record: async (claim, stop) => {
            if (claim.replaces === null || !held) return registry.record(claim, stop)
            held = false
            await registry.record(claim, stop)
            recorded.open()
            await mayTryAgain.opened
            throw AWAY()
          },
        }),
    })
    const other = (await stage.serve()).client()
    const id = await other.start('kept.bin', 5)
    await other.put(id, 0, 'xxxxx', 5)
    const replaced = slow.client().put(id, 0, 'hello', 5)
    await recorded.opened
    expect((await other.put(id, 0, 'HEL', 5)).status).toBe(200)
    expect((await other.put(id, 3, 'LO', 5)).status).toBe(200)
    mayTryAgain.open()
    expect((await replaced).status).toBe(409)
    expect((await other.finalize(id, md5('HELLO'))).status).toBe(201)
    expect(await stage.published()).toEqual({ 'kept.bin': 'HELLO' })
  })
})

describe('bytes that somebody removed', () => {
  test.each(['sent again', 'finished'])('are to be sent again, when they are %s', async (when) => {
    const server = await stage.serve()
    const client = server.client()
    const id = await client.start('gone.bin', 10)
    await client.put(id, 0, 'hello', 10)
    await client.put(id, 5, 'world', 10)
    await removeBlobs()
    if (when === 'finished') {
      const answer = await client.finalize(id, md5('helloworld'))
      expect([answer.status, answer.json.message]).toEqual([400, 'Not all chunks uploaded'])
      expect((await client.detail(id)).json.chunks).toEqual([])
    }
    for (const [start, bytes] of [
      [0, 'hello'],
      [5, 'world'],
    ] as const) {
      const statuses: number[] = []
      // The first to notice may have to come again.
      for (let attempt = 0; statuses.at(-1) !== 200 && attempt < 2; attempt++) {
        statuses.push((await client.put(id, start, bytes, 10)).status)
      }
      expect(statuses.at(-1)).toBe(200)
    }
    expect((await client.finalize(id, md5('helloworld'))).status).toBe(201)
    expect(await stage.published()).toEqual({ 'gone.bin': 'helloworld' })
  })

  test('a disk that is not there loses nothing', async () => {
    const server = await stage.serve()
    const client = server.client()
    const id = await client.start('away.bin', 5)
    await client.put(id, 0, 'hello', 5)
    for (const epoch of await readdir(stage.blobs)) await rm(join(stage.blobs, epoch), { recursive: true })
    expect((await client.finalize(id, md5('hello'))).status).toBe(500)
    expect((await client.detail(id)).json.chunks).toEqual([{ start: 0, end: 4, size: 5 }])
  })
})

async function removeBlobs(): Promise<void> {
  const entries = await readdir(stage.blobs, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((each) => each.isFile())) await rm(join(entry.parentPath, entry.name))
}

describe('a request that holds a range and brings nothing to it', () => {
  const head = partHead({ name: 'file', filename: 'blob' })
  const stuck: readonly (readonly [string, string])[] = [
    ['its headers alone', ''],
    ['half of the chunk', `${head}he`],
    ['all but the closing line', `${head}hello`],
    ['a part of another name', `${partHead({ name: 'other', filename: 'x' })}many bytes`],
    ['bytes beyond the range', `${head}hello and more`],
  ]

  test.each(stuck)('after %s lets the next one have it', async (_name, sent) => {
    const server = await stage.serve()
    const client = server.client()
    const id = await client.start('stuck.bin', 5)
    const raw = await RawClient.open(server.port)
    await raw.say(
      `PUT /upload/${id}/ HTTP/1.1\r\nHost: x\r\nContent-Range: ${rangeOf(0, 5, 5)}\r\nContent-Length: 100000\r\n` +
        `Content-Type: multipart/form-data; boundary=tributary-test-boundary\r\n\r\n${sent}`,
    )
    await expect.poll(() => stage.count(`$s.claims where upload_id = '${id}'`)).toBe(1)
    const answer = await client.put(id, 0, 'world', 5)
    expect([answer.status, answer.json.message]).toEqual([200, 'Chunk uploaded'])
    expect(await raw.status()).toBe(423)
    raw.socket.destroy()
  })

  test('nor does one that drips', async () => {
    const server = await stage.serve()
    const client = server.client()
    const id = await client.start('drip.bin', 1000)
    const drip = client.openPut(id, 0, 1000, 1000)
    const timer = setInterval(() => void drip.write('x').catch(() => undefined), 100)
    try {
      await expect.poll(() => stage.count(`$s.claims where upload_id = '${id}'`)).toBe(1)
      const answer = await client.put(id, 0, 'y'.repeat(1000), 1000)
      expect(answer.status).toBe(200)
      expect((await drip.answer).status).toBe(423)
    } finally {
      clearInterval(timer)
    }
  })
})

describe('publishing that another node has begun', () => {
  test('is done by whoever asks, when the other failed before it began', async () => {
    const broken = await stage.serve({
      registry: (registry) => {
        let answered = false
        return around(registry, {
          complete: async (request) => {
            const outcome = await registry.complete(request)
            if (answered) return outcome
            answered = true
            throw busy()
          },
        })
      },
    })
    const other = await stage.serve()
    const id = await broken.client().start('turn.bin', 5)
    await broken.client().put(id, 0, 'hello', 5)
    expect((await broken.client().finalize(id, md5('hello'))).status).toBe(423)
    expect((await other.client().finalize(id, md5('hello'))).status).toBe(201)
    expect(await stage.published()).toEqual({ 'turn.bin': 'hello' })
  })

  test('waits for an assembly that is under way, rather than copying everything', async () => {
    const server = await stage.serve()
    const client: FragoClient = server.client()
    const id = await client.start('pieces.bin', 10)
    await client.put(id, 0, 'xxxxx', 10)
    await client.put(id, 5, 'world', 10)
    await client.put(id, 0, 'hello', 10)
    // Somebody else takes the assembly the moment it is there, and is slow.
    const { registry } = (await stage.serve()).engine
    const finished = client.finalize(id, md5('helloworld'))
    let assembly: Awaited<ReturnType<UploadRegistry['takeAssembly']>> = null
    await expect
      .poll(async () => {
        assembly ??= await registry.takeAssembly(id)
        return assembly !== null || (await stage.published())['pieces.bin'] !== undefined
      })
      .toBe(true)
    if (assembly !== null) await registry.abandonAssembly(assembly)
    expect((await finished).status).toBe(201)
    expect(await stage.published()).toEqual({ 'pieces.bin': 'helloworld' })
    await expect.poll(() => stage.blobSizes()).toEqual([10])
  })
})

describe('what is asked of a finished upload', () => {
  test('a wrong checksum is told nobody', async () => {
    const server = await stage.serve()
    const client = server.client()
    const id = await client.upload('done.bin', Buffer.from('hello'))
    expect((await client.finalize(id, md5('other'))).json.message).toBe('Checksum mismatch')
    expect(server.told.map(({ event }) => event)).not.toContain('checksum_failed')
  })
})
