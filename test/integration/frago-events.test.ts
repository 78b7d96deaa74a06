import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { UploadEventName } from '../../src/upload/events.js'
import { sweep } from '../../src/upload/sweep.js'
import { md5 } from '../support/frago-client.js'
import { type FragoServer, FragoStage, type Told } from '../support/frago-stage.js'
import { seededBytes } from '../support/seeded.js'

let stage: FragoStage
let server: FragoServer

beforeAll(async () => {
  stage = await FragoStage.open()
  server = await stage.serve()
})

afterAll(async () => {
  await stage.close()
})

/** Listeners of one test. */
const added: (() => void)[] = []

afterEach(() => {
  for (const remove of added.splice(0)) remove()
})

type Listener = (facts: Omit<Told, 'event'>) => void | Promise<void>

function on(event: UploadEventName, listener: Listener): void {
  server.engine.events.on(event, listener)
  added.push(() => server.engine.events.off(event, listener))
}

const ALL: readonly UploadEventName[] = [
  'upload_started',
  'chunk_received',
  'upload_completed',
  'checksum_failed',
  'upload_assembled',
  'upload_expired',
  'upload_terminated',
]

async function expire(id: string): Promise<void> {
  await stage.schema.run(`update $s.uploads set expires_at = now() - interval '1 second' where id = '${id}'`)
}

describe('listeners are told', () => {
  const client = () => server.client()

  test('the start, each chunk, each digest that does not fit, and the end, in this order', async () => {
    const id = await client().start('plain.bin', 15)
    for (const start of [10, 0, 5]) await client().put(id, start, 'hello', 15)
    await client().finalize(id, md5('x'))
    await client().finalize(id, md5('y'))
    await client().finalize(id, md5('hello'.repeat(3)))
    const told = server.toldOf(id)
    expect(told.map(({ event, start, stop }) => [event, start, stop])).toEqual([
      ['upload_started', undefined, undefined],
      ['chunk_received', 10, 15],
      ['chunk_received', 0, 5],
      ['chunk_received', 5, 10],
      ['checksum_failed', undefined, undefined],
      ['checksum_failed', undefined, undefined],
      ['upload_completed', undefined, undefined],
    ])
    const facts = { id, owner: null, protocol: 'frago', kind: 'whole', length: 15, filename: 'plain.bin' }
    for (const { upload } of told) expect(upload).toMatchObject(facts)
    expect(told.map(({ upload }) => upload.status)).toEqual([...Array(6).fill('in_progress'), 'complete'])
    expect(told.map(({ upload }) => upload.offset)).toEqual([0, 0, 5, 15, 15, 15, 15])
    expect(told.at(-1)?.upload.completedAt).toBeInstanceOf(Date)
    expect(told.at(-1)?.upload.digest?.bytes.toString('hex')).toBe(md5('hello'.repeat(3)))
  })

  test('nothing of a duplicate, and again of a chunk that is replaced', async () => {
    const id = await client().start('repeated.bin', 10)
    for (const text of ['hello', 'hello', 'HELLO', 'HELLO', 'longer', 'short']) {
      await client().put(id, 0, text, 10)
    }
    expect(server.toldOf(id).map(({ start, stop }) => [start, stop])).toEqual([
      [undefined, undefined],
      [0, 5],
      [0, 5],
      [0, 6],
      [0, 5],
    ])
  })

  test('nothing of what was refused', async () => {
    const id = await client().start('refused.bin', 10)
    await client().put(id, 0, 'hello', 10)
    await client().put(id, 3, 'hello', 10)
    await client().put(id, 5, 'hello', 11)
    await client().putParts(id, 'bytes 5-9/10', [])
    await client().finalize(id, md5('hello'))
    await client().finalize(id, '')
    await client().json('POST', client().base, { filename: '../x', total_size: 5 })
    expect(server.eventsOf(id)).toEqual(['upload_started', 'chunk_received'])
    expect(server.told.some(({ upload }) => upload.filename === '../x')).toBe(false)
  })

  test('nothing more when it is finished again', async () => {
    const id = await client().upload('again.bin', Buffer.from('hello'))
    const before = server.eventsOf(id)
    await client().finalize(id, md5('hello'))
    await client().finalize(id, '8843d7f92416211de9ebb963ff4ce28125932878', 'sha1')
    await sweep(server.engine)
    expect(server.eventsOf(id).filter((event) => event !== 'checksum_failed')).toEqual(before)
    expect(before).toEqual(['upload_started', 'chunk_received', 'upload_completed'])
  })

  test('that an upload expired, once, and never that it was completed', async () => {
    const id = await client().start('expiring.bin', 5)
    await client().put(id, 0, 'hello', 5)
    await expire(id)
    for (let count = 0; count < 2; count++) {
      expect((await client().put(id, 0, 'hello', 5)).status).toBe(410)
      expect((await client().finalize(id, md5('hello'))).status).toBe(410)
    }
    for (let count = 0; count < 3; count++) await sweep(server.engine)
    expect((await client().put(id, 0, 'hello', 5)).status).toBe(410)
    expect(server.eventsOf(id)).toEqual(['upload_started', 'chunk_received', 'upload_expired'])
    expect(server.toldOf(id).at(-1)?.upload.status).toBe('expired')
  })

  test('that it expired once, by however many servers sweep', async () => {
    const others = [await stage.serve(), await stage.serve()]
    const ids: string[] = []
    for (let count = 0; count < 10; count++) {
      ids.push(await client().start('swept.bin', 5))
      await expire(ids.at(-1) ?? '')
    }
    await Promise.all([server, ...others, ...others].map((each) => sweep(each.engine)))
    for (const id of ids) {
      const told = [server, ...others].flatMap((each) => each.eventsOf(id))
      expect(told.filter((event) => event === 'upload_expired')).toHaveLength(1)
      expect(told).not.toContain('upload_completed')
    }
    for (const each of others) await each.close()
  })

  test('that it was terminated, and nothing else', async () => {
    const id = await client().start('terminated.bin', 5)
    await fetch(`${server.files}/${id}`, { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0' } })
    expect(server.eventsOf(id)).toEqual(['upload_started', 'upload_terminated'])
  })

  test('of a start before its client is', async () => {
    const seen: (string | null)[] = []
    on('upload_started', async ({ upload }) => {
      // The record is there for whoever looks.
      seen.push((await server.engine.registry.find(upload.id, null))?.upload.filename ?? null)
    })
    const heard: string[] = []
    on('upload_started', ({ upload }) => void heard.push(upload.id))
    const id = await client().start('early.bin', 5)
    expect(heard).toEqual([id])
    await expect.poll(() => seen).toEqual(['early.bin'])
  })

  test('of a chunk when it is listed', async () => {
    const details: unknown[] = []
    on('chunk_received', async ({ upload }) => {
      details.push((await client().detail(upload.id)).json.chunks)
    })
    const id = await client().start('readable.bin', 10)
    await client().put(id, 5, 'hello', 10)
    await expect.poll(() => details).toEqual([[{ start: 5, end: 9, size: 5 }]])
  })

  test('of the end when the file is in its place, and nothing private beside it', async () => {
    const bytes = seededBytes('in its place', 300_000)
    const found: { content: boolean; names: readonly string[]; status: string }[] = []
    const looks: Promise<void>[] = []
    on('upload_completed', ({ upload }) => {
      const look = async () => {
        const path = join(stage.assembled, upload.filename ?? '')
        const names = await readdir(stage.assembled)
        const content = (await readFile(path)).equals(bytes)
        const { status } = (await client().detail(upload.id)).json
        found.push({ content, names: names.filter((name) => name.startsWith('.')), status })
      }
      looks.push(look())
    })
    const id = await client().start('in-its-place.bin', bytes.length)
    // In several blobs, so that it has to be made first.
    for (const content of [Buffer.alloc(100_000), bytes.subarray(0, 100_000)]) {
      await client().put(id, 0, content, bytes.length)
    }
    await client().put(id, 100_000, bytes.subarray(100_000), bytes.length)
    expect((await client().finalize(id, md5(bytes))).status).toBe(201)
    await Promise.all(looks)
    expect(found).toEqual([{ content: true, names: [], status: 'complete' }])
  })
})

describe('a listener that fails', () => {
  test.each<[string, Listener]>([
    [
      'by throwing',
      () => {
        throw new Error('made by a test')
      },
    ],
    ['by rejecting', () => Promise.reject(new Error('made by a test'))],
    [
      'by throwing what is no error',
      () => {
        throw { status_code: 400, body: 'no' }
      },
    ],
    ['by never settling', () => new Promise(() => undefined)],
  ])('%s changes no answer, and no other listener', async (_name, listener) => {
    const after: string[] = []
    for (const event of ALL) {
      on(event, listener)
      on(event, () => void after.push(event))
    }
    const client = server.client()
    const id = await client.start('failing.bin', 10)
    expect((await client.put(id, 0, 'hello', 10)).json).toMatchObject({ message: 'Chunk uploaded' })
    expect((await client.put(id, 0, 'hello', 10)).json).toMatchObject({ duplicate: true })
    expect((await client.put(id, 5, 'world', 10)).status).toBe(200)
    expect((await client.finalize(id, md5('x'))).json).toEqual({
      status: false,
      message: 'Checksum mismatch',
    })
    const finished = await client.finalize(id, md5('helloworld'))
    expect([finished.status, finished.json.message]).toEqual([201, 'Upload completed for failing.bin'])
    expect((await stage.published())['failing.bin']).toBe('helloworld')
    const expiring = await client.start('expiring.bin', 10)
    await expire(expiring)
    await sweep(server.engine)
    const deleted = await fetch(`${server.files}/${id}`, {
      method: 'DELETE',
      headers: { 'Tus-Resumable': '1.0.0' },
    })
    expect(deleted.status).toBe(204)
    expect(after).toEqual([
      'upload_started',
      'chunk_received',
      'chunk_received',
      'checksum_failed',
      'upload_completed',
      'upload_started',
      'upload_expired',
      'upload_terminated',
    ])
  })
})
