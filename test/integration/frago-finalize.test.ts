import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { sweep } from '../../src/upload/sweep.js'
import { CountedReads } from '../support/counted-reads.js'
import { Mortal } from '../support/crash/mortal.js'
import { mortalPort } from '../support/crash/mortal-port.js'
import { FragoClient, hexDigest, type JsonAnswer, md5 } from '../support/frago-client.js'
import { type FragoServer, FragoStage } from '../support/frago-stage.js'
import { KeyedBytes } from '../support/keyed-bytes.js'
import { OpenRequest } from '../support/raw-tus.js'
import { seededBytes } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'

const MIB = 1024 * 1024

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

const done = (id: string, name: string) => ({
  status: true,
  message: `Upload completed for ${name}`,
  upload_id: id,
})
const failed = (message: unknown) => ({ status: false, message })
const MISMATCH = failed('Checksum mismatch')
const GAPS = failed('Not all chunks uploaded')
const CHECKSUM_REQUIRED = failed('Checksum required')

function statuses(answers: readonly JsonAnswer[]): readonly number[] {
  return answers.map(({ status }) => status).toSorted((a, b) => a - b)
}

/** An upload all of whose bytes are there. */
async function whole(name: string, bytes: Buffer, at: FragoClient = client): Promise<string> {
  const id = await at.start(name, bytes.length)
  const size = Math.ceil(bytes.length / 2)
  for (let start = 0; start < bytes.length; start += size) {
    const answer = await at.put(id, start, bytes.subarray(start, start + size), bytes.length)
    if (answer.status !== 200) throw new Error(answer.body)
  }
  return id
}

async function contentOf(id: string, at: FragoServer = server): Promise<Buffer> {
  const response = await fetch(`${at.files}/${id}`)
  if (response.status !== 200) throw new Error(`GET answered ${response.status}`)
  return Buffer.from(await response.arrayBuffer())
}

const statusOf = async (id: string) => (await client.detail(id)).json.status

describe('an upload', () => {
  test('is finished only without gaps, whatever is asked', async () => {
    const id = await client.start('gaps.bin', 30)
    const ask = async () => (await client.finalize(id, md5('x'.repeat(30)))).json
    expect(await ask()).toEqual(GAPS)
    for (const start of [20, 0]) {
      await client.put(id, start, 'x'.repeat(10), 30)
      expect(await ask()).toEqual(GAPS)
    }
    expect((await client.request('POST', client.urlOf(id), '{', { 'Content-Type': 'x/y' })).json).toEqual(
      GAPS,
    )
    await client.put(id, 10, 'x'.repeat(9), 30)
    expect(await ask()).toEqual(GAPS)
    expect(await statusOf(id)).toBe('in_progress')
    await client.put(id, 19, 'x', 30)
    expect(await ask()).toEqual(done(id, 'gaps.bin'))
    expect((await client.detail(id)).json).toMatchObject({ status: 'complete', chunks: [] })
  })

  test('of no bytes at all is finished by the digest of nothing, again and again', async () => {
    const id = await client.start('nothing.bin', 0)
    expect(await statusOf(id)).toBe('in_progress')
    expect((await client.finalize(id, md5('x'))).json).toEqual(MISMATCH)
    for (let count = 0; count < 3; count++) {
      const answer = await client.finalize(id, md5(''))
      expect([answer.status, answer.json]).toEqual([201, done(id, 'nothing.bin')])
    }
    expect(await stage.published()).toMatchObject({ 'nothing.bin': '' })
    expect((await contentOf(id)).length).toBe(0)
    expect(server.eventsOf(id)).toEqual(['upload_started', 'checksum_failed', 'upload_completed'])
  })

  test('that expired is gone', async () => {
    const id = await whole('expired.bin', Buffer.from('hello'))
    await stage.schema.run(
      `update $s.uploads set expires_at = now() - interval '1 second' where id = '${id}'`,
    )
    const answer = await client.finalize(id, md5('hello'))
    expect([answer.status, answer.json]).toEqual([410, failed('Upload expired')])
    const put = await client.put(id, 0, 'hello', 5)
    expect([put.status, put.json]).toEqual([410, { status: false, error: 'Upload expired' }])
    expect((await client.detail(id)).json).toMatchObject({
      status: 'expired',
      completed_at: null,
      chunks: [],
    })
  })
})

describe('a checksum', () => {
  const OPENSSL: Readonly<Record<string, string>> = {
    md5: 'md5',
    sha1: 'sha1',
    sha224: 'sha224',
    sha256: 'sha256',
    sha384: 'sha384',
    sha512: 'sha512',
    sha3_224: 'sha3-224',
    sha3_256: 'sha3-256',
    sha3_384: 'sha3-384',
    sha3_512: 'sha3-512',
    blake2b: 'blake2b512',
    blake2s: 'blake2s256',
  }
  const bytes = seededBytes('of any kind', 100_000)

  test.each(Object.entries(OPENSSL))('by %s is compared, in capitals, too', async (name, openssl) => {
    const digest = hexDigest(openssl, bytes)
    const id = await whole(`${name}.bin`, bytes)
    const wrong = hexDigest(openssl, 'something else')
    for (const refused of [wrong, digest.slice(2), `${digest}00`, md5('x')]) {
      expect((await client.finalize(id, refused, name)).json).toEqual(MISMATCH)
    }
    const answer = await client.finalize(id, digest.toUpperCase(), name.toUpperCase())
    expect([answer.status, answer.json]).toEqual([201, done(id, `${name}.bin`)])
    const again = [
      [digest, name],
      [digest.toUpperCase(), name],
      [md5(bytes), undefined],
      [md5(bytes), 'md5'],
    ] as const
    for (const [checksum, algorithm] of again) {
      expect((await client.finalize(id, checksum, algorithm)).json).toEqual(done(id, `${name}.bin`))
    }
    expect((await client.finalize(id, wrong, name)).json).toEqual(MISMATCH)
    expect(await statusOf(id)).toBe('complete')
    expect(server.eventsOf(id).filter((event) => event === 'upload_completed')).toHaveLength(1)
  })

  test('by each of the twelve one after the other ends with the same', async () => {
    const id = await whole('twelve.bin', bytes)
    for (const [name, openssl] of Object.entries(OPENSSL)) {
      expect((await client.finalize(id, hexDigest(openssl, bytes), name)).json).toEqual(
        done(id, 'twelve.bin'),
      )
    }
    expect(server.eventsOf(id)).toEqual([
      'upload_started',
      'chunk_received',
      'chunk_received',
      'upload_completed',
    ])
  })

  test('may be named as OpenSSL and people do', async () => {
    const id = await whole('names.bin', bytes)
    for (const [name, openssl] of [
      ['SHA-256', 'sha256'],
      ['sha3-256', 'sha3-256'],
      ['Sha1', 'sha1'],
    ] as const) {
      expect((await client.finalize(id, hexDigest(openssl, bytes), name)).status).toBe(201)
    }
  })

  test.each([
    'nope',
    'shake_128',
    'crc32',
    'md5 ',
    ' md5',
    'md5\0',
    'ripemd160',
    'constructor',
    true,
    1,
    ['md5'],
  ])('by %j is refused before anything is read', async (algorithm) => {
    const id = await whole('unknown.bin', bytes)
    const answer = await client.finalize(id, md5(bytes), algorithm)
    expect([answer.status, answer.json]).toEqual([400, failed(expect.stringContaining('blake2s'))])
    expect((await client.finalize(id, '', algorithm)).json).toEqual(CHECKSUM_REQUIRED)
    expect(server.eventsOf(id)).not.toContain('checksum_failed')
  })

  test('is required', async () => {
    const id = await whole('required.bin', bytes)
    for (const nothing of [undefined, null, '', 0, false, [], {}]) {
      const answer = await client.finalize(id, nothing)
      expect([answer.status, answer.json]).toEqual([400, CHECKSUM_REQUIRED])
    }
    expect(await statusOf(id)).toBe('in_progress')
  })

  test('that is none does not fit', async () => {
    const id = await whole('odd.bin', bytes)
    const right = md5(bytes)
    const odd = [
      123,
      1.5,
      true,
      ' ',
      'x',
      right.slice(0, -1),
      ` ${right}`,
      `${right}\n`,
      `md5:${right}`,
      [right],
      { a: 1 },
    ]
    for (const checksum of odd) {
      const answer = await client.finalize(id, checksum)
      expect([answer.status, answer.json]).toEqual([400, MISMATCH])
    }
    const form = `checksum=${right}&checksum=x`
    const asForm = (body: string) =>
      client.request('POST', client.urlOf(id), body, { 'Content-Type': 'application/x-www-form-urlencoded' })
    expect((await asForm(form)).json).toEqual(MISMATCH)
    expect((await asForm(`checksum=x&checksum=${right}&checksum_algo`)).json).toEqual(done(id, 'odd.bin'))
  })

  test('whose algorithm nobody names is by CHECKSUM_TYPE, which is followed', async () => {
    const typed = await stage.serve({ checksum: { type: 'sha256' } })
    const own = typed.client()
    const id = await whole('typed.bin', bytes, own)
    for (const algorithm of [undefined, '', null, false]) {
      expect((await own.finalize(id, md5(bytes), algorithm)).json).toEqual(MISMATCH)
    }
    expect((await own.finalize(id, hexDigest('sha256', bytes), '')).json).toEqual(done(id, 'typed.bin'))
    expect((await own.finalize(id, md5(bytes), 'md5')).status).toBe(201)
    const large = seededBytes('followed', 16 * MIB)
    const followed = await whole('followed.bin', large, own)
    const known = `$s.digests where upload_id = '${followed}' and algorithm = 'sha256' and bytes is not null`
    await expect.poll(() => stage.count(known)).toBe(1)
    await typed.close()
  })

  test('is nobody’s business with DO_CHECKSUM off', async () => {
    const trusting = await stage.serve({ checksum: { required: false } })
    const own = trusting.client()
    for (const [body, type] of [
      ['', 'text/plain'],
      ['{', 'application/json'],
      ['hello', 'text/plain'],
      [JSON.stringify({ checksum: 'wrong', checksum_algo: 'nope' }), 'application/json'],
      ['x', 'multipart/form-data'],
    ] as const) {
      const id = await own.start('trusted.bin', 10)
      const ask = () => own.request('POST', own.urlOf(id), body, { 'Content-Type': type })
      await own.put(id, 0, 'hello', 10)
      expect((await ask()).json).toEqual(GAPS)
      await own.put(id, 5, 'world', 10)
      for (let count = 0; count < 2; count++) expect((await ask()).json).toEqual(done(id, 'trusted.bin'))
      expect(trusting.eventsOf(id).at(-1)).toBe('upload_completed')
    }
    await trusting.close()
  })

  test('that does not fit leaves everything as it was', async () => {
    const id = await whole('mended.bin', bytes)
    const before = (await client.detail(id)).json
    for (let count = 0; count < 3; count++) {
      expect((await client.finalize(id, md5('wrong'))).json).toEqual(MISMATCH)
      expect((await client.detail(id)).json).toEqual(before)
    }
    expect(Object.keys(await stage.published())).not.toContain('mended.bin')
    expect((await client.put(id, 0, bytes.subarray(0, 50_000), bytes.length)).json).toMatchObject({
      duplicate: true,
    })
    expect((await client.finalize(id, md5(bytes))).status).toBe(201)
    expect(server.eventsOf(id).slice(3)).toEqual([...Array(3).fill('checksum_failed'), 'upload_completed'])
  })
})

describe('many who finish the same upload at once', () => {
  const bytes = seededBytes('at once', 8 * MIB)

  /** Two servers that count what they read. */
  async function pair() {
    const reads = [new CountedReads(), new CountedReads()]
    const servers = await Promise.all(reads.map(({ fs }) => stage.serve({ fs })))
    onTestFinished(async () => {
      for (const each of servers) await each.close()
    })
    const [one, other] = servers
    if (one === undefined || other === undefined) throw new Error('no servers')
    const told = (id: string, event: string) =>
      servers.flatMap((each) => each.eventsOf(id)).filter((each) => each === event).length
    const read = () => reads.reduce((sum, each) => sum + each.bytes, 0)
    return { clients: [one.client(), other.client()] as const, reads, told, read }
  }

  test.each([
    ['twice', 2, 1],
    ['20 times', 20, 1],
    ['twice on two servers', 2, 2],
    ['20 times on two servers', 20, 2],
  ])(
    '%s are all answered right; the file is read once, and it is told once',
    async (_name, times, servers) => {
      const { clients, told, read } = await pair()
      const id = await whole('once.bin', bytes)
      const answers = await Promise.all(
        Array.from({ length: times }, (_, index) =>
          clients[index % servers ? 1 : 0].finalize(id, md5(bytes)),
        ),
      )
      expect(answers.map(({ json }) => json)).toEqual(Array(times).fill(done(id, 'once.bin')))
      expect(read()).toBe(bytes.length)
      expect(told(id, 'upload_completed')).toBe(1)
      expect((await contentOf(id)).equals(bytes)).toBe(true)
    },
  )

  test.each([1, 2])('and disagree are told apart, with %i servers', async (servers) => {
    const { clients, told, read } = await pair()
    const id = await whole('disagree.bin', bytes)
    const sums = [md5('wrong'), md5(bytes), md5('wrong'), md5(bytes)]
    const answers = await Promise.all(
      sums.map((sum, index) => clients[servers === 2 && index > 1 ? 1 : 0].finalize(id, sum)),
    )
    expect(answers.map(({ status }) => status)).toEqual([400, 201, 400, 201])
    expect(answers[0]?.json).toEqual(MISMATCH)
    expect(read()).toBe(bytes.length)
    expect([told(id, 'upload_completed'), told(id, 'checksum_failed')]).toEqual([1, 2])
  })

  test('by different algorithms are all answered right', async () => {
    const { clients, told, read } = await pair()
    const id = await whole('algorithms.bin', bytes)
    const answers = await Promise.all(
      ['md5', 'sha1', 'sha256', 'sha512'].flatMap((name) =>
        clients.map((each) => each.finalize(id, hexDigest(name, bytes), name)),
      ),
    )
    expect(statuses(answers)).toEqual(Array(8).fill(201))
    expect(read()).toBe(4 * bytes.length)
    expect(told(id, 'upload_completed')).toBe(1)
  })

  test('may leave: the work goes on, and those who come later join it', async () => {
    const { clients, reads, told, read } = await pair()
    const [held] = reads
    const id = await whole('left.bin', bytes)
    const reading = held?.hold()
    const body = JSON.stringify({ checksum: md5(bytes) })
    const leaver = new OpenRequest(clients[0].urlOf(id), {
      method: 'POST',
      length: body.length,
      headers: { 'Content-Type': 'application/json' },
    })
    await leaver.write(body)
    await reading
    leaver.destroy()
    const joined = [clients[0].finalize(id, md5(bytes)), clients[1].finalize(id, md5(bytes))]
    await expect(leaver.answer).rejects.toThrow()
    expect(await statusOf(id)).toBe('in_progress')
    held?.release()
    expect(statuses(await Promise.all(joined))).toEqual([201, 201])
    expect(read()).toBe(bytes.length)
    expect(told(id, 'upload_completed')).toBe(1)
  })

  test('and all leave: it is finished all the same', async () => {
    const { clients, reads, told } = await pair()
    const [held] = reads
    const id = await whole('alone.bin', bytes)
    const reading = held?.hold()
    const body = JSON.stringify({ checksum: md5(bytes) })
    const leavers = Array.from({ length: 3 }, () => {
      const headers = { 'Content-Type': 'application/json' }
      return new OpenRequest(clients[0].urlOf(id), { method: 'POST', length: body.length, headers })
    })
    for (const leaver of leavers) await leaver.write(body)
    await reading
    for (const leaver of leavers) leaver.destroy()
    held?.release()
    await expect.poll(() => statusOf(id)).toBe('complete')
    await expect.poll(() => told(id, 'upload_completed')).toBe(1)
    expect((await stage.published())['alone.bin']).toBe(bytes.toString('latin1'))
  })
})

describe('a chunk that is replaced while its upload is finished', () => {
  test.each([
    [20, 200_000],
    [4, 16 * MIB],
  ])('counts or is refused, in %i rounds of %i bytes', async (rounds, size) => {
    for (let round = 0; round < rounds; round++) {
      const before = seededBytes(`before ${round}`, size)
      const after = Buffer.from(before)
      after.fill(round + 1, 1_000, 100_000)
      const name = `race ${round} of ${size}.bin`
      const id = await client.start(name, size)
      await client.put(id, 0, before.subarray(0, 100_000), size)
      await client.put(id, 100_000, before.subarray(100_000), size)
      const replace = () => client.put(id, 0, after.subarray(0, 100_000), size)
      const finish = (bytes: Buffer) => client.finalize(id, md5(bytes))
      const first = round % 2 === 0 ? [replace(), finish(before)] : [finish(before), replace()]
      const [one, other, late] = await Promise.all([...first, finish(after)])
      const [put, early] = round % 2 === 0 ? [one, other] : [other, one]
      expect(put?.status === 200 || put?.status === 409, put?.body).toBe(true)
      expect([201, 400]).toContain(early?.status)
      expect([201, 400]).toContain(late?.status)
      expect([early?.status, late?.status]).not.toEqual([201, 201])
      // What was acknowledged is what there is: the chunk that came last, and the digest that fitted.
      const right = put?.status === 200 ? after : before
      if (early?.status === 201) expect(right).toBe(before)
      if (late?.status === 201) expect(right).toBe(after)
      expect((await finish(right === after ? before : after)).json).toEqual(MISMATCH)
      expect((await finish(right)).json).toEqual(done(id, name))
      expect((await contentOf(id)).equals(right)).toBe(true)
      expect((await readFile(join(stage.assembled, name))).equals(right)).toBe(true)
    }
  })
})

test('a large upload that comes in order is known when it is there: finishing it reads nothing', async () => {
  const reads = new CountedReads()
  const counting = await stage.serve({ fs: reads.fs })
  const content = new KeyedBytes('in order', 256 * MIB)
  const own = counting.client()
  const id = await own.start('in-order.bin', content.length)
  for (let start = 0; start < content.length; start += 8 * MIB) {
    const answer = await own.put(id, start, content.slice(start, start + 8 * MIB), content.length)
    expect(answer.status).toBe(200)
  }
  const known = `$s.digests where upload_id = '${id}' and bytes is not null`
  await expect.poll(() => stage.count(known)).toBe(1)
  expect(reads.bytes).toBe(content.length)
  const hashOf = (algorithm: string) => {
    return hexDigest(algorithm, content.slice())
  }
  expect((await own.finalize(id, hashOf('md5'))).status).toBe(201)
  expect((await own.finalize(id, hashOf('md5'))).status).toBe(201)
  expect(reads.bytes).toBe(content.length)
  // Another algorithm takes one pass.
  expect((await own.finalize(id, hashOf('sha256'), 'sha256')).status).toBe(201)
  expect(reads.bytes).toBe(2 * content.length)
  await counting.close()
})

describe('a server that dies', () => {
  test('while it hashes leaves an upload that is finished by the next request, once', async () => {
    const group = await ServerGroup.make()
    onTestFinished(() => group.end())
    const first = await group.start(undefined, { DURABILITY: 'relaxed' })
    const content = new KeyedBytes('killed', 192 * MIB).slice()
    const id = await whole('killed.bin', content, clientOf(first.port))
    const checksum = hexDigest('sha3-512', content)
    const answer = clientOf(first.port).finalize(id, checksum, 'sha3_512')
    answer.catch(() => undefined)
    const hashing = `select count(*) from $s.digests where algorithm = 'sha3_512' and bytes is null`
    await expect.poll(() => group.count(hashing), { interval: 5 }).toBe(1)
    await first.kill()
    await expect(answer).rejects.toThrow()
    const second = await group.start()
    const own = clientOf(second.port)
    expect((await own.detail(id)).json.status).toBe('in_progress')
    const repeated = await own.finalize(id, checksum, 'sha3_512')
    expect([repeated.status, repeated.json]).toEqual([201, done(id, 'killed.bin')])
    const assembled = join(group.dataDir, 'assembled')
    expect(await readdir(assembled)).toEqual(['killed.bin'])
    expect((await readFile(join(assembled, 'killed.bin'))).equals(content)).toBe(true)
  })

  function clientOf(port: number): FragoClient {
    return new FragoClient(`http://127.0.0.1:${port}/upload/`)
  }

  test.each(['a sweep', 'the same request'])(
    'at any step of finishing leaves what %s brings to its end',
    async (by) => {
      const own = await FragoStage.open()
      onTestFinished(() => own.close())
      const survivor = await own.serve()
      const bytes = seededBytes('dying', 100_000)
      const deaths: (string | null)[] = []
      for (let step = 0; deaths.at(-1) !== null; step++) {
        const mortal = new Mortal(step)
        const dying = await own.serve({
          registry: (registry) => mortalPort(registry, mortal, STEPS, ['find']),
          publisher: (publisher) => mortalPort(publisher, mortal, ['prepare', 'place'], []),
        })
        const name = `step ${step}.bin`
        const id = await whole(name, bytes, survivor.client())
        const answer = await dying.client().finalize(id, md5(bytes))
        await mortal.stillness()
        const where = mortal.death ?? 'got through'
        deaths.push(mortal.death)
        expect(answer.status, where).toBe(mortal.death === null ? 201 : 500)
        dying.postgres.lease.pause()
        await own.schema.run(
          `update $s.nodes set lease_until = '-infinity' where epoch = ${dying.postgres.lease.epoch}`,
        )
        if (by === 'a sweep') {
          await sweep(survivor.engine)
          const { status } = (await survivor.client().detail(id)).json
          const files = await readdir(own.assembled)
          expect(files.includes(name), `published, when it ${where}`).toBe(status === 'complete')
        }
        const repeated = await survivor.client().finalize(id, md5(bytes))
        expect([repeated.status, repeated.json], where).toEqual([201, done(id, name)])
        expect((await readFile(join(own.assembled, name))).equals(bytes), where).toBe(true)
        // Also not under another name, or under one of ours.
        expect(await readdir(own.assembled), where).toHaveLength(step + 1)
        const told = [dying, survivor].flatMap((each) => each.eventsOf(id))
        // Who dies after the commit tells nobody: at most once.
        const expected = where === 'crashed after publish' ? 0 : 1
        expect(told.filter((event) => event === 'upload_completed').length, where).toBe(expected)
        await dying.close()
      }
      expect(deaths).toEqual(expect.arrayContaining(DEATHS.map((each) => `crashed ${each}`)))
    },
  )

  const STEPS = [
    'takeDigest',
    'noteDigest',
    'leaveDigest',
    'complete',
    'takePublication',
    'publish',
    'leavePublication',
  ] as const
  const DEATHS = [
    'before takeDigest',
    'after takeDigest',
    'before complete',
    'after complete',
    'after takePublication',
    'after prepare',
    'before place',
    'after place',
    'after publish',
  ]
})
