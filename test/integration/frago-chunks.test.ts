import { readdir, readFile, readlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import {
  BOUNDARY,
  CLOSING,
  type FragoClient,
  filePart,
  MULTIPART,
  md5,
  multipart,
  OpenChunk,
  type Part,
  rangeOf,
  toJson,
} from '../support/frago-client.js'
import { type FragoServer, FragoStage } from '../support/frago-stage.js'
import { expectSwept } from '../support/invariants.js'
import { KeyedBytes } from '../support/keyed-bytes.js'
import { RawClient } from '../support/raw-client.js'
import { create, OpenRequest, patch, send } from '../support/raw-tus.js'
import { seededBytes, seededRandom } from '../support/seeded.js'
import { mountSmall, SmallDisk, unmount } from '../support/small-disk.js'
import { sharedDatabase, startTributary, type Tributary } from '../support/tributary.js'

const KIB = 1024
const MIB = 1024 * KIB
const UNKNOWN = '00000000-0000-4000-8000-000000000000'

let stage: FragoStage
let server: FragoServer
let client: FragoClient

beforeAll(async () => {
  stage = await FragoStage.open()
  server = await stage.serve()
  client = server.client()
})

afterAll(async () => {
  await stage.close()
})

const stored = (start: number, size: number) => ({
  status: true,
  message: 'Chunk uploaded',
  start,
  end: start + size - 1,
  size,
})
const duplicate = (start: number, size: number) => ({
  ...stored(start, size),
  message: 'Duplicate chunk already uploaded; skipped',
  duplicate: true,
})
const refused = (error: string) => ({ status: false, error })
const NO_CHUNK = refused('No chunk provided')
const wrongSize = (expected: number, got: number) =>
  refused(`Chunk size mismatch (expected ${expected}, got ${got})`)

/** `[start, size]` of each chunk, as the detail lists them. */
async function chunksOf(id: string, from: FragoClient = client): Promise<readonly [number, number][]> {
  const { json } = await from.detail(id)
  return json.chunks.map(({ start, size }: { start: number; size: number }) => [start, size])
}

/** Finishes an upload, and finds its content to be these bytes. */
async function expectContent(id: string, bytes: Buffer, at: FragoServer = server): Promise<void> {
  const finished = await at.client().finalize(id, md5(bytes))
  expect([finished.status, finished.body]).toMatchObject([201, expect.stringContaining('Upload completed')])
  const response = await fetch(`${at.files}/${id}`)
  expect(response.status).toBe(200)
  expect(bytes.equals(Buffer.from(await response.arrayBuffer()))).toBe(true)
}

const untilClaimed = (id: string, claims = 1) =>
  expect.poll(() => stage.count(`$s.claims where upload_id = '${id}'`)).toBe(claims)

function shuffled<T>(items: readonly T[], seed: number): readonly T[] {
  const random = seededRandom(seed)
  return items
    .map((item) => [random(), item] as const)
    .toSorted(([a], [b]) => a - b)
    .map(([, item]) => item)
}

describe('chunks', () => {
  test('arrive side by side and out of order, each at its place', async () => {
    const total = 16 * 100_003
    const bytes = seededBytes('side by side', total)
    const id = await client.start('parallel.bin', total)
    const starts = shuffled(
      Array.from({ length: 16 }, (_, index) => index * 100_003),
      16,
    )
    const answers = await Promise.all(
      starts.map((start) => client.put(id, start, bytes.subarray(start, start + 100_003), total)),
    )
    expect(answers.map(({ json }) => json)).toEqual(starts.map((start) => stored(start, 100_003)))
    expect(await chunksOf(id)).toEqual(starts.toSorted((a, b) => a - b).map((start) => [start, 100_003]))
    await expectContent(id, bytes)
  })

  test('may come without their length, in pieces', async () => {
    const bytes = seededBytes('without length', 300_000)
    const id = await client.start('chunked.bin', bytes.length)
    const request = new OpenRequest(client.urlOf(id), {
      method: 'PUT',
      length: null,
      headers: { 'Content-Type': MULTIPART, 'Content-Range': rangeOf(0, bytes.length, bytes.length) },
    })
    const body = multipart([filePart(bytes)])
    for (let at = 0; at < body.length; at += 70_000) await request.write(body.subarray(at, at + 70_000))
    request.end()
    expect(toJson(await request.answer)).toMatchObject({ status: 200, json: stored(0, bytes.length) })
    await expectContent(id, bytes)
  })

  test('may be cut anywhere by the network', async () => {
    const bytes = seededBytes('byte by byte', 60)
    const id = await client.start('bytewise.bin', bytes.length)
    const body = multipart([{ name: 'note', content: 'x' }, filePart(bytes), { name: 'end', content: 'y' }])
    const raw = await RawClient.open(server.port)
    raw.socket.setNoDelay(true)
    await raw.say(headOf(id, rangeOf(0, 60, 60), body.length))
    for (const byte of body) await raw.say(Buffer.from([byte]))
    expect(await raw.status()).toBe(200)
    await expectContent(id, bytes)
  })

  test('are not taken once the upload is complete', async () => {
    const id = await client.upload('complete.bin', Buffer.from('hello'))
    const again = await client.put(id, 0, 'hello', 5)
    expect([again.status, again.json]).toEqual([409, refused(expect.stringContaining('complete'))])
    expect(again.body).not.toContain(stage.directory)
    // In frago's order: what is wrong with the header is said first.
    expect((await client.putParts(id, '', [filePart('hello')])).status).toBe(400)
    expect((await client.putParts(id, 'bytes 0-4/6', [filePart('hello')])).json).toEqual(
      refused('Total size mismatch'),
    )
  })
})

/** The head of a PUT, as raw as it goes. */
function headOf(id: string, range: string, length: number, more = ''): string {
  return (
    `PUT /api/upload/${id}/ HTTP/1.1\r\nHost: x\r\nContent-Range: ${range}\r\n` +
    `Content-Type: ${MULTIPART}\r\nContent-Length: ${length}\r\n${more}\r\n`
  )
}

describe('the parts of a body', () => {
  const text = (content: string): Part => ({ name: 'file', content })
  const other = (content: string): Part => ({ name: 'other', filename: 'o.bin', content })

  test.each<[string, readonly Part[], object]>([
    ['a longer file before', [filePart('hello!!'), filePart('world')], stored(0, 5)],
    ['a shorter file before', [filePart('hel'), filePart('world')], stored(0, 5)],
    ['one as long before', [filePart('hello'), filePart('world')], stored(0, 5)],
    ['an empty file before', [filePart(''), filePart('world')], stored(0, 5)],
    ['a longer file after', [filePart('hello'), filePart('hello!!')], wrongSize(5, 7)],
    ['a shorter file after', [filePart('hello'), filePart('wor')], wrongSize(5, 3)],
    ['an empty file after', [filePart('hello'), filePart('')], wrongSize(5, 0)],
    ['only an empty file', [filePart('')], wrongSize(5, 0)],
    ['text of the same name before', [text('abc'), filePart('world')], stored(0, 5)],
    ['text of the same name after', [filePart('world'), text('abc')], stored(0, 5)],
    ['only text of that name', [text('world')], NO_CHUNK],
    ['other files and fields around', [other('1'), text(''), filePart('world'), other('2')], stored(0, 5)],
    ['only another file', [other('world')], NO_CHUNK],
    [
      'a name without a file after',
      [filePart('world'), { ...filePart('x'), filename: 'dir/' }],
      stored(0, 5),
    ],
    ['a name that is empty', [{ ...filePart('world'), filename: '' }], NO_CHUNK],
    ['a path for a name', [{ ...filePart('world'), filename: '../../etc/passwd' }], stored(0, 5)],
    ['no parts', [], NO_CHUNK],
  ])('with %s', async (_name, parts, expected) => {
    const id = await client.start('parts.bin', 5)
    const answer = await client.putParts(id, 'bytes 0-4/5', parts)
    expect(answer.json).toEqual(expected)
    expect(answer.status).toBe(answer.json.status === true ? 200 : 400)
    expect(await chunksOf(id)).toEqual(answer.status === 200 ? [[0, 5]] : [])
    if (answer.status === 200) await expectContent(id, Buffer.from('world'))
  })

  test('may be hundreds of files, of which the last counts', async () => {
    const bytes = seededBytes('the last of many', 100_000)
    const id = await client.start('many.bin', bytes.length)
    const decoys = Array.from({ length: 40 }, (_, index) => filePart(Buffer.alloc(90_000 + index, index)))
    const answer = await client.putParts(id, rangeOf(0, bytes.length, bytes.length), [
      ...decoys,
      filePart(bytes),
    ])
    expect(answer.json).toEqual(stored(0, bytes.length))
    await expectContent(id, bytes)
  })

  test('that are base64 are decoded, and must be', async () => {
    const coded = (content: string): Part => ({
      ...filePart(content),
      headers: ['Content-Transfer-Encoding: BASE64'],
    })
    const bytes = seededBytes('base64', 100_001)
    const id = await client.start('base64.bin', bytes.length)
    const range = rangeOf(0, bytes.length, bytes.length)
    const lines = bytes.toString('base64').replace(/(.{76})/g, '$1\r\n')
    for (const broken of ['aGVsbG8', 'hello', `${lines}abc`]) {
      const answer = await client.putParts(id, range, [coded(broken)])
      expect([answer.status, answer.json]).toEqual([
        400,
        { detail: 'Multipart form parse error - Could not decode base64 data.' },
      ])
    }
    expect((await client.putParts(id, range, [coded(lines.slice(0, -10))], '')).json).toEqual(NO_CHUNK)
    expect((await client.putParts(id, range, [coded('!!!!')])).json).toEqual(wrongSize(bytes.length, 0))
    expect((await client.putParts(id, range, [filePart(lines)])).json).toMatchObject({ status: false })
    expect((await client.putParts(id, range, [coded(lines)])).json).toEqual(stored(0, bytes.length))
    await expectContent(id, bytes)
  })
})

describe('a body that ends within the file', () => {
  test.each([5, 200_000, 3_000_000])('of %i bytes brings no chunk', async (size) => {
    const bytes = seededBytes('cut', size)
    const id = await client.start('cut.bin', size)
    const range = rangeOf(0, size, size)
    const cuts: readonly (readonly [readonly Part[], string])[] = [
      [[filePart(bytes)], ''],
      [[filePart(bytes)], '\r\n'],
      [[filePart(bytes)], '\r\n--'],
      [[filePart(bytes)], `\r\n--${BOUNDARY.slice(0, -1)}`],
      [[filePart(bytes.subarray(0, -1))], ''],
      [[filePart(bytes), filePart(bytes.subarray(0, -1))], ''],
      [[{ name: 'x', content: 'y' }, filePart(bytes)], ''],
    ]
    for (const [parts, closing] of cuts) {
      const answer = await client.putParts(id, range, parts, closing)
      const several = parts.length > 1 && parts[0]?.filename !== undefined
      // The one before was whole, and frago would take it. Sent again as it should be it is taken here, too.
      const expected = several ? { status: false } : NO_CHUNK
      expect([answer.status, answer.json], JSON.stringify(closing)).toMatchObject([400, expected])
    }
    expect(await chunksOf(id)).toEqual([])
    // What comes after the file may be missing.
    const whole = await client.putParts(id, range, [filePart(bytes), { name: 'x', content: 'y' }], '')
    expect(whole.json).toEqual(stored(0, size))
    await expectContent(id, bytes)
  })

  test('because its length says so brings none either', async () => {
    const id = await client.start('short.bin', 5)
    const body = multipart([filePart('hello')])
    for (const length of [body.length - CLOSING.length, body.length - CLOSING.length - 2, 10]) {
      const raw = await RawClient.open(server.port)
      await raw.say(headOf(id, 'bytes 0-4/5', length, 'Connection: close\r\n'))
      await raw.say(body.subarray(0, length))
      await raw.closed
      expect(raw.received).toMatch(/^HTTP\/1\.1 400 .*"error":"No chunk provided"}$/s)
    }
    expect(await chunksOf(id)).toEqual([])
  })
})

describe('a client that leaves in the middle', () => {
  test.each<[string, (raw: RawClient) => void]>([
    ['with a reset', (raw) => raw.reset()],
    ['with its side closed', (raw) => raw.socket.destroy()],
    ['with its side ended', (raw) => raw.socket.end()],
  ])('%s leaves nothing, and its chunk can be sent again at once', async (_name, leave) => {
    const bytes = seededBytes('leaving', 4 * MIB)
    const id = await client.start('leaving.bin', bytes.length)
    const body = multipart([filePart(bytes)])
    for (const share of [0.1, 0.6, 1]) {
      const raw = await RawClient.open(server.port)
      await raw.say(headOf(id, rangeOf(0, bytes.length, bytes.length), body.length))
      await untilClaimed(id)
      await raw.say(body.subarray(0, (body.length - CLOSING.length) * share))
      expect(await chunksOf(id)).toEqual([])
      leave(raw)
      await untilClaimed(id, 0)
      expect(await chunksOf(id)).toEqual([])
    }
    expect((await client.put(id, 0, bytes, bytes.length)).json).toEqual(stored(0, bytes.length))
    expect(server.eventsOf(id)).toEqual(['upload_started', 'chunk_received'])
    await expectContent(id, bytes)
  })

  test('does not keep its successor waiting: the other is through without a wait of its own', async () => {
    const bytes = seededBytes('successor', MIB)
    const id = await client.start('successor.bin', bytes.length)
    for (let round = 0; round < 10; round++) {
      const open = client.openPut(id, 0, bytes.length, bytes.length)
      await open.write(bytes.subarray(0, MIB / 2))
      open.destroy()
    }
    expect((await client.put(id, 0, bytes, bytes.length)).status).toBe(200)
    await untilClaimed(id, 0)
    await expectContent(id, bytes)
  })

  test('of a chunk that was to replace another leaves that as it was, and no file', async () => {
    const bytes = seededBytes('kept', 2 * MIB)
    const id = await client.start('kept.bin', bytes.length)
    await client.put(id, 0, bytes, bytes.length)
    const files = await stage.blobSizes()
    const open = client.openPut(id, 0, bytes.length, bytes.length)
    await open.write(Buffer.alloc(MIB, 1))
    await expect.poll(async () => (await stage.blobSizes()).length).toBe(files.length + 1)
    expect(await chunksOf(id)).toEqual([[0, bytes.length]])
    open.destroy()
    await untilClaimed(id, 0)
    await expect.poll(async () => (await stage.blobSizes()).length).toBe(files.length)
    await expectContent(id, bytes)
  })
})

describe('a client that stands still', () => {
  test('is told so after IDLE_TIMEOUT, and nothing of its chunk is kept', async () => {
    const hasty = await stage.serve({ app: { idleTimeout: 300 } })
    const id = await client.start('idle.bin', MIB)
    const open = hasty.client().openPut(id, 0, MIB, MIB)
    await open.write(Buffer.alloc(KIB))
    const answer = await open.answer
    expect([answer.status, answer.json]).toEqual([408, refused(expect.stringContaining('Nothing came'))])
    await untilClaimed(id, 0)
    expect(await chunksOf(id)).toEqual([])
    open.destroy()
    const bytes = seededBytes('not idle', MIB)
    expect((await hasty.client().put(id, 0, bytes, MIB)).json).toEqual(stored(0, MIB))
    await expectContent(id, bytes)
    await hasty.close()
  })

  test.each(['same server', 'other server'])(
    'gives way to another that brings the same range, on the %s',
    async (where) => {
      const second = where === 'same server' ? server : await stage.serve()
      const bytes = seededBytes('second', MIB)
      const id = await client.start('stalled.bin', 2 * MIB)
      const open = client.openPut(id, 0, MIB, 2 * MIB)
      await open.write(Buffer.alloc(MIB / 2, 7))
      await untilClaimed(id)
      expect((await second.client().put(id, 0, bytes, 2 * MIB)).json).toEqual(stored(0, MIB))
      // The first wakes up: whatever it still sends changes nothing.
      await open.write(Buffer.alloc(MIB / 2, 7))
      const late = await open.end()
      expect([late.status, late.json]).toEqual([423, refused(expect.any(String))])
      expect(late.headers['retry-after']).toBe('1')
      expect(await chunksOf(id)).toEqual([[0, MIB]])
      const rest = seededBytes('rest', MIB)
      await second.client().put(id, MIB, rest, 2 * MIB)
      await expectContent(id, Buffer.concat([bytes, rest]))
      if (second !== server) await second.close()
    },
  )
})

describe('the same range at once', () => {
  test('with the same bytes is acknowledged to both, and told once', async () => {
    for (let round = 0; round < 10; round++) {
      const bytes = seededBytes(`twice ${round}`, 200_000)
      const id = await client.start('twice.bin', bytes.length)
      const answers = await Promise.all([0, 0, 0].map((start) => client.put(id, start, bytes, bytes.length)))
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
      const expected = [stored(0, bytes.length), duplicate(0, bytes.length), duplicate(0, bytes.length)]
      expect(answers.map(({ json }) => json)).toEqual(expect.arrayContaining(expected))
      expect(server.eventsOf(id)).toEqual(['upload_started', 'chunk_received'])
      await expectContent(id, bytes)
    }
  })

  test('with different bytes ends with one of them, whole', async () => {
    for (let round = 0; round < 10; round++) {
      const contents = [1, 2].map((seed) => seededBytes(`${seed} of ${round}`, 200_000))
      const id = await client.start('either.bin', 200_000)
      const answers = await Promise.all(contents.map((bytes) => client.put(id, 0, bytes, 200_000)))
      expect(answers.map(({ json }) => json)).toEqual([stored(0, 200_000), stored(0, 200_000)])
      expect(server.eventsOf(id)).toEqual(['upload_started', 'chunk_received', 'chunk_received'])
      const tries = await Promise.all(contents.map((bytes) => client.finalize(id, md5(bytes))))
      expect(tries.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 400])
      const [right = Buffer.alloc(0)] = contents.filter((_, index) => tries[index]?.status === 201)
      await expectContent(id, right)
    }
  })
})

describe('a range that overlaps others', () => {
  test.each([
    [5, 12],
    [18, 25],
    [12, 18],
    [12, 20],
    [5, 25],
    [0, 30],
    [25, 35],
    [0, 31],
  ])('such as [%i, %i) is refused, and changes nothing', async (start, stop) => {
    const id = await client.start('overlap.bin', 50)
    await client.put(id, 10, 'x'.repeat(10), 50)
    await client.put(id, 30, 'y'.repeat(10), 50)
    const answer = await client.put(id, start, 'z'.repeat(stop - start), 50)
    expect([answer.status, answer.json]).toEqual([409, refused(expect.stringContaining('overlaps'))])
    expect(await chunksOf(id)).toEqual([
      [10, 10],
      [30, 10],
    ])
  })

  test('that replaces one of them may not touch the next', async () => {
    const id = await client.start('neighbour.bin', 30)
    for (const start of [0, 10]) await client.put(id, start, 'x'.repeat(10), 30)
    expect((await client.put(id, 0, 'y'.repeat(11), 30)).status).toBe(409)
    expect((await client.put(id, 10, 'y'.repeat(20), 30)).json).toEqual(stored(10, 20))
    await expectContent(id, Buffer.from('x'.repeat(10) + 'y'.repeat(20)))
  })

  test('of a chunk that is still on its way is refused once that is there', async () => {
    const id = await client.start('underway.bin', MIB)
    const open = client.openPut(id, 0, MIB / 2, MIB)
    await open.write(Buffer.alloc(MIB / 4, 1))
    await untilClaimed(id)
    const overlapping = client.put(id, MIB / 4, Buffer.alloc(MIB / 2, 2), MIB)
    await open.write(Buffer.alloc(MIB / 4, 1))
    expect((await open.end()).status).toBe(200)
    expect((await overlapping).status).toBe(409)
    await client.put(id, MIB / 2, Buffer.alloc(MIB / 2, 3), MIB)
    await expectContent(id, Buffer.concat([Buffer.alloc(MIB / 2, 1), Buffer.alloc(MIB / 2, 3)]))
  })
})

describe('a chunk that begins where another does', () => {
  test('and has the same bytes is a duplicate', async () => {
    const id = await client.start('again.bin', 10)
    for (const start of [0, 5]) await client.put(id, start, 'hello', 10)
    const before = await stage.blobSizes()
    const again = await client.put(id, 5, 'hello', 10)
    expect([again.status, again.json]).toEqual([200, duplicate(5, 5)])
    expect(await stage.blobSizes()).toEqual(before)
    expect(server.eventsOf(id)).toEqual(['upload_started', 'chunk_received', 'chunk_received'])
  })

  test.each([
    ['shorter', 60_000],
    ['longer', 140_000],
    ['as long', 100_000],
  ])('and is %s takes its place, in the list, the bytes and the digest', async (_name, size) => {
    const total = 300_000
    const bytes = Buffer.from(seededBytes('first', total))
    const id = await client.start('replaced.bin', total)
    for (const [start, stop] of [
      [0, 50_000],
      [50_000, 150_000],
      [200_000, total],
    ] as const) {
      await client.put(id, start, bytes.subarray(start, stop), total)
    }
    const other = seededBytes('second', size)
    expect((await client.put(id, 50_000, other, total)).json).toEqual(stored(50_000, size))
    expect(await chunksOf(id)).toEqual([
      [0, 50_000],
      [50_000, size],
      [200_000, 100_000],
    ])
    expect((await client.finalize(id, md5(bytes))).json).toEqual({
      status: false,
      message: 'Not all chunks uploaded',
    })
    other.copy(bytes, 50_000)
    const gap = 50_000 + size
    if (gap < 200_000) await client.put(id, gap, bytes.subarray(gap, 200_000), total)
    expect(server.toldOf(id).map(({ start }) => start)).toEqual([undefined, 0, 50_000, 200_000, 50_000, gap])
    await expectContent(id, bytes)
  })

  test.each(['shorter', 'longer', 'as long'])(
    'and is %s takes away the file of a chunk alone',
    async (how) => {
      const alone = await FragoStage.open()
      onTestFinished(() => alone.close())
      const own = await alone.serve()
      const size = { shorter: 30_000, longer: 50_000, 'as long': 40_000 }[how] ?? 0
      const id = await own.client().start('alone.bin', 50_000)
      await own.client().put(id, 0, seededBytes('first', 40_000), 50_000)
      for (let round = 0; round < 5; round++) {
        await own.client().put(id, 0, seededBytes(`later ${round}`, size), 50_000)
      }
      const bytes = Buffer.concat([seededBytes('later 4', size), seededBytes('rest', 50_000 - size)])
      if (size < 50_000) await own.client().put(id, size, bytes.subarray(size), 50_000)
      await expectContent(id, bytes, own)
      // No sweep was needed for that.
      await expectSwept(alone.schema, alone.blobs, 'after replacements')
      expect(await alone.count('$s.assemblies')).toBe(0)
      expect(await alone.blobSizes()).toEqual([50_000])
    },
  )

  test('counts in the digest, also when that was worked out ahead', async () => {
    const total = 24 * MIB
    const bytes = Buffer.from(seededBytes('worked out ahead', total))
    const id = await client.start('ahead.bin', total)
    for (let start = 0; start < total; start += 8 * MIB) {
      await client.put(id, start, bytes.subarray(start, start + 8 * MIB), total)
    }
    await expect.poll(() => stage.count(`$s.digests where upload_id = '${id}' and bytes is not null`)).toBe(1)
    const before = md5(bytes)
    seededBytes('another', 8 * MIB).copy(bytes, 8 * MIB)
    await client.put(id, 8 * MIB, bytes.subarray(8 * MIB, 16 * MIB), total)
    expect((await client.finalize(id, before)).json).toEqual({ status: false, message: 'Checksum mismatch' })
    await expectContent(id, bytes)
  })

  test('disturbs nobody who reads another upload meanwhile', async () => {
    const content = new KeyedBytes('read meanwhile', 24 * MIB)
    const other = await client.upload('other.bin', content.slice())
    const id = await client.start('replacing.bin', MIB)
    await client.put(id, 0, seededBytes('0', MIB), MIB)
    const response = await fetch(`${server.files}/${other}`)
    const got: Buffer[] = []
    let round = 0
    for await (const piece of response.body ?? []) {
      got.push(Buffer.from(piece))
      if (round === 20) continue
      round += 1
      expect((await client.put(id, 0, seededBytes(`${round}`, MIB), MIB)).status).toBe(200)
      expect((await send(`${server.files}/${other}`, { method: 'HEAD' })).status).toBe(200)
    }
    expect(round).toBe(20)
    expect(content.slice().equals(Buffer.concat(got))).toBe(true)
    await expectContent(id, seededBytes('20', MIB))
  })
})

describe('a client that asks before it sends', () => {
  const ask = async (id: string, range: string) => {
    const raw = await RawClient.open(server.port)
    const body = multipart([filePart('hello')])
    await raw.say(headOf(id, range, body.length, 'Expect: 100-continue\r\n'))
    return { raw, body }
  }

  test('is told to go on, once', async () => {
    const id = await client.start('asked.bin', 5)
    const { raw, body } = await ask(id, 'bytes 0-4/5')
    await raw.hear('100 Continue')
    expect(await chunksOf(id)).toEqual([])
    await raw.say(body)
    expect(await raw.hear('"Chunk uploaded"')).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
  })

  test('is refused before it sends a byte', async () => {
    const taken = await client.start('taken.bin', 10)
    await client.put(taken, 0, 'hello', 10)
    for (const [id, range, status] of [
      [UNKNOWN, 'bytes 0-4/5', 404],
      [taken, 'bytes 0-4', 400],
      [taken, 'bytes 0-4/5', 400],
      [taken, 'bytes 8-12/12', 400],
    ] as const) {
      const { raw } = await ask(id, range)
      expect(await raw.status()).toBe(status)
      expect(raw.received).not.toContain('100 Continue')
      raw.socket.destroy()
    }
  })
})

describe('a refusal reaches a client that still sends', () => {
  test.each<[string, () => Promise<readonly [string, string]>, number, string]>([
    ['an unknown upload', async () => [UNKNOWN, 'bytes 0-49999999/50000000'], 404, 'Not found'],
    ['no range', async () => [await client.start('big.bin', 5), ''], 400, 'Missing'],
    ['a wrong total', async () => [await withChunk(), 'bytes 1-49999999/60000000'], 400, 'Total size'],
  ])('%s', async (_name, make, status, words) => {
    const [id, range] = await make()
    const raw = await RawClient.open(server.port)
    const body = multipart([filePart(Buffer.alloc(50_000_000))])
    await raw.say(headOf(id, range, body.length))
    // Most clients read nothing before they have sent all.
    raw.socket.pause()
    await raw.say(body)
    raw.socket.resume()
    expect(await raw.status()).toBe(status)
    expect(raw.received).toContain(words)
    await raw.closed
    expect(raw.error).toBeNull()
  })

  async function withChunk(): Promise<string> {
    const id = await client.start('big.bin', 50_000_000)
    await client.put(id, 0, 'hello', 50_000_000)
    return id
  }

  test('who sends far too much', async () => {
    const id = await client.start('long.bin', 10)
    const answer = await client.putParts(id, 'bytes 0-9/10', [filePart(Buffer.alloc(20_000_000))])
    expect([answer.status, answer.json]).toEqual([400, wrongSize(10, 20_000_000)])
    expect(await chunksOf(id)).toEqual([])
  })
})

describe('a disk that is full', () => {
  test('is a 507, keeps nothing of the chunk, and takes it again when there is room', async () => {
    const disk = new SmallDisk(700 * KIB)
    const full = await stage.serve({ fs: disk.fs })
    const bytes = seededBytes('full', 2 * MIB)
    const id = await client.start('full.bin', bytes.length)
    for (const when of ['at first', 'again', 'while syncing']) {
      disk.failsWhenSynced = when === 'while syncing'
      if (disk.failsWhenSynced) disk.room = Number.POSITIVE_INFINITY
      const answer = await full.client().put(id, 0, bytes, bytes.length)
      expect([answer.status, answer.json], when).toEqual([507, refused(expect.any(String))])
      expect(answer.body).not.toContain(stage.directory)
      expect(await chunksOf(id)).toEqual([])
      await untilClaimed(id, 0)
    }
    disk.failsWhenSynced = false
    expect((await full.client().put(id, 0, bytes, bytes.length)).status).toBe(200)
    disk.room = 100 * KIB
    expect((await full.client().put(id, 0, Buffer.alloc(bytes.length), bytes.length)).status).toBe(507)
    await expectContent(id, bytes, full)
    await full.close()
  })

  test('really', async (context) => {
    const small = await FragoStage.open()
    const unable = await mountSmall(small.directory, 12 * MIB)
    onTestFinished(async () => {
      if (unable === null) await unmount(small.directory)
      await small.close()
    })
    if (unable !== null) return context.skip(unable)
    const own = await small.serve()
    const filler = await create(own.files, 10 * MIB)
    expect((await patch(filler, 0, Buffer.alloc(10 * MIB, 1))).status).toBe(204)
    const bytes = seededBytes('really full', 6 * MIB)
    const id = await own.client().start('really.bin', bytes.length)
    const half = 3 * MIB
    expect((await own.client().put(id, half, bytes.subarray(half), bytes.length)).status).toBe(507)
    expect(await chunksOf(id, own.client())).toEqual([])
    expect((await send(filler, { method: 'DELETE' })).status).toBe(204)
    for (const start of [half, 0]) {
      const chunk = bytes.subarray(start, start + half)
      expect((await own.client().put(id, start, chunk, bytes.length)).status).toBe(200)
    }
    await expectContent(id, bytes, own)
    await expectSwept(small.schema, small.blobs, 'after a full disk')
  })
})

describe('a large chunk', () => {
  const LARGE = 200 * MIB
  const content = new KeyedBytes('large', LARGE)

  test('is neither held in memory nor spooled', async (context) => {
    if (process.platform !== 'linux') return context.skip('memory and open files are read from procfs')
    const temporary = await emptyDirectory()
    const process_ = await startTributary({ env: { ...sharedDatabase(), TMPDIR: temporary } })
    const id = await startAt(process_, LARGE)
    const small = await startAt(process_, 8 * MIB)
    await sendAt(process_, small, 8 * MIB)
    const before = await peak(process_)
    const size = await sendAt(process_, id, LARGE, async (sent) => {
      if (sent !== LARGE / 2) return
      expect(await readdir(temporary)).toEqual([])
      expect((await sizesUnder(process_.dataDir)).filter((each) => each > 0).length).toBeLessThanOrEqual(2)
      expect(await deletedFiles(process_)).toEqual([])
    })
    expect(size).toBe(LARGE)
    expect((await peak(process_)) - before).toBeLessThan(LARGE / MIB / 2)
    expect((await sizesUnder(process_.dataDir)).toSorted((a, b) => a - b)).toEqual([8 * MIB, LARGE])
    const detail = await fetch(`${process_.origin}/upload/${id}/`)
    expect(await detail.json()).toMatchObject({ chunks: [{ start: 0, end: LARGE - 1, size: LARGE }] })
  })

  test('in hundreds of files at once is held in memory no more', async (context) => {
    if (process.platform !== 'linux') return context.skip('memory is read from procfs')
    const process_ = await startTributary({ env: { ...sharedDatabase(), DURABILITY: 'relaxed' } })
    const id = await startAt(process_, 250_000)
    const decoy = multipart([filePart(Buffer.alloc(250_000, 1))], '')
    const count = 800
    const request = new OpenRequest(`${process_.origin}/upload/${id}/`, {
      method: 'PUT',
      length: (decoy.length + 2) * count + `--${BOUNDARY}--\r\n`.length,
      headers: { 'Content-Type': MULTIPART, 'Content-Range': rangeOf(0, 250_000, 250_000) },
    })
    await sendAt(process_, await startAt(process_, 8 * MIB), 8 * MIB)
    const before = await peak(process_)
    for (let sent = 0; sent < count; sent++) await request.write(Buffer.concat([decoy, Buffer.from('\r\n')]))
    await request.write(`--${BOUNDARY}--\r\n`)
    request.end()
    expect(toJson(await request.answer).json).toEqual(stored(0, 250_000))
    expect((await peak(process_)) - before).toBeLessThan(100)
  })

  async function startAt({ origin }: Tributary, length: number): Promise<string> {
    const body = new URLSearchParams({ filename: 'large.bin', total_size: String(length) })
    const answer = await fetch(`${origin}/upload/`, { method: 'POST', body })
    return ((await answer.json()) as { upload_id: string }).upload_id
  }

  async function sendAt(
    { origin }: Tributary,
    id: string,
    size: number,
    look: (sent: number) => Promise<void> = async () => undefined,
  ): Promise<number> {
    const open = new OpenChunk(`${origin}/upload/${id}/`, {}, { start: 0, size, total: size })
    for (let at = 0; at < size; at += MIB) {
      await open.write(content.slice(at, at + MIB))
      await look(at + MIB)
    }
    return (await open.end()).json.size
  }
})

async function emptyDirectory(): Promise<string> {
  const { mkdtemp, rm } = await import('node:fs/promises')
  const path = await mkdtemp(join(tmpdir(), 'tributary-spool-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

/** The most memory the process ever had, in MiB. */
async function peak({ child }: Tributary): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
}

/** Files a process has open that have no name any more: the way to hide a copy. */
async function deletedFiles({ child }: Tributary): Promise<readonly string[]> {
  const directory = `/proc/${child.pid}/fd`
  const links = await Promise.all(
    (await readdir(directory)).map((fd) => readlink(join(directory, fd)).catch(() => '')),
  )
  return links.filter((link) => link.endsWith('(deleted)'))
}

async function sizesUnder(directory: string): Promise<readonly number[]> {
  const { stat } = await import('node:fs/promises')
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  return Promise.all(files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size))
}

describe('what the real frago did not look at is complained about last', () => {
  const faulty = [
    ['no file', [{ name: 'other', filename: 'b', content: 'hello' }], 'No chunk provided'],
    ['a wrong size', [filePart('hel')], expect.stringMatching(/^Chunk size mismatch/)],
  ] as const
  const places: readonly (readonly [string, string, () => Promise<string>])[] = [
    ['an overlap', 'bytes 0-4/5', async () => withBytes(2, 'l', 5)],
    ['a complete upload', 'bytes 0-4/5', () => client.upload('done.bin', Buffer.from('hello'))],
    ['an end beyond the file', 'bytes 0-5/5', () => client.start('a.bin', 5)],
    ['a range turned round', 'bytes 4-0/5', () => client.start('a.bin', 5)],
    [
      'a start no number holds',
      'bytes 99999999999999999999-99999999999999999999/5',
      () => client.start('a.bin', 5),
    ],
  ]

  test.each(places)('%s', async (_name, range, make) => {
    const id = await make()
    for (const [name, parts, error] of faulty) {
      const answer = await client.putParts(id, range, parts)
      expect([answer.status, answer.json], name).toEqual([400, { status: false, error }])
    }
  })

  test('the size is said exactly, however long the numbers are', async () => {
    const id = await client.start('a.bin', 5)
    for (const [range, size] of [
      ['bytes 0-18446744073709551615/5', '18446744073709551616'],
      ['bytes 4-0/5', '-3'],
    ] as const) {
      const answer = await client.putParts(id, range, [filePart('hello')])
      expect(answer.json).toEqual({ status: false, error: `Chunk size mismatch (expected ${size}, got 5)` })
    }
  })

  test('a total beyond all numbers is a wrong one', async () => {
    const id = await client.start('a.bin', 5)
    const range = 'bytes 0-4/99999999999999999999'
    expect((await client.putParts(id, range, [filePart('hello')])).json.error).toBe('Total size mismatch')
    expect((await client.putParts(UNKNOWN, range, [filePart('hello')])).json).toEqual({
      detail: 'Not found.',
    })
  })

  async function withBytes(start: number, bytes: string, length: number): Promise<string> {
    const id = await client.start('a.bin', length)
    await client.put(id, start, bytes, length)
    return id
  }
})
