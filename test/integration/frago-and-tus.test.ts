import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sweep } from '../../src/upload/sweep.js'
import { scratchDirectory } from '../support/embedded-scratch.js'
import { FragoClient, filePart, MULTIPART, md5, multipart } from '../support/frago-client.js'
import { type FragoServer, FragoStage } from '../support/frago-stage.js'
import { send } from '../support/raw-tus.js'
import { sharedDatabase, startTributary } from '../support/tributary.js'

let stage: FragoStage
let server: FragoServer

beforeAll(async () => {
  stage = await FragoStage.open()
  server = await stage.serve({ app: { identify: (ctx) => ctx.get('X-User') || null } })
})

afterAll(async () => {
  await stage.close()
})

type Headers = Readonly<Record<string, string>>

const OFFSETS = { 'Content-Type': 'application/offset+octet-stream' }
const base64 = (text: string) => Buffer.from(text).toString('base64')
const idOf = (url: string) => url.split('/').at(-1) ?? ''

/** Both protocols for one user of one server. */
function userAt(origin: string, headers: Headers) {
  const files = `${origin}/files`
  const request = (method: string, url: string, more: Headers = {}, body?: string | Buffer) =>
    send(url, { method, headers: { ...headers, ...more }, ...(body !== undefined && { body }) })
  const create = async (more: Headers, body = '') => {
    const answer = await request('POST', files, { ...more, ...(body !== '' && OFFSETS) }, body)
    if (answer.status !== 201) throw new Error(`not created: ${answer.status} ${answer.body}`)
    return String(answer.headers.location)
  }
  return {
    frago: new FragoClient(`${origin}/upload/`, headers),
    /** The tus address of an upload. */
    at: (id: string) => `${files}/${id}`,
    request,
    create,
    tus: (length: number, body = '', more: Headers = {}) =>
      create({ 'Upload-Length': String(length), ...more }, body),
    part: (length: number, body = '') =>
      create({ 'Upload-Length': String(length), 'Upload-Concat': 'partial' }, body),
    final: (...parts: readonly string[]) => create({ 'Upload-Concat': `final;${parts.join(' ')}` }),
    patch: (url: string, offset: number, body: string) =>
      request('PATCH', url, { ...OFFSETS, 'Upload-Offset': String(offset) }, body),
  }
}

let users = 0
/** A user nobody has seen before. */
function newUser() {
  users += 1
  return userAt(server.origin, { 'X-User': `user ${users}` })
}

const listed = async ({ frago }: { readonly frago: FragoClient }) =>
  (await frago.list()).json.map(({ upload_id }: { upload_id: string }) => upload_id)

describe('an upload of frago at its tus address', () => {
  test('says how far it has no gap, and cannot be downloaded or written to', async () => {
    const user = newUser()
    const id = await user.frago.start('Ünï.bin', 30)
    const url = user.at(id)
    const head = async () => {
      const { status, headers } = await user.request('HEAD', url)
      return [status, headers['upload-offset'], headers['upload-length']]
    }
    expect(await head()).toEqual([200, '0', '30'])
    await user.frago.put(id, 10, 'x'.repeat(10), 30)
    expect(await head()).toEqual([200, '0', '30'])
    await user.frago.put(id, 0, 'x'.repeat(10), 30)
    expect(await head()).toEqual([200, '20', '30'])
    expect((await user.request('GET', url)).status).toBe(404)
    const before = (await user.frago.detail(id)).json
    for (const offset of [20, 0, 10]) {
      const patched = await user.patch(url, offset, 'y'.repeat(10))
      expect([patched.status, patched.body]).toEqual([403, expect.stringContaining('frago')])
    }
    expect((await user.frago.detail(id)).json).toEqual(before)
    await user.frago.put(id, 20, 'x'.repeat(10), 30)
    expect(await head()).toEqual([200, '30', '30'])
    // Nobody has said yet that it is what it should be.
    expect((await user.request('GET', url)).status).toBe(404)
    expect((await user.patch(url, 30, '')).status).toBe(403)
    expect((await user.frago.finalize(id, md5('x'.repeat(30)))).status).toBe(201)
    expect(await head()).toEqual([200, '30', '30'])
    const { headers } = await user.request('HEAD', url)
    expect(headers['upload-metadata']).toBe(`filename ${base64('Ünï.bin')}`)
    expect(headers['upload-expires']).toBeUndefined()
    const got = await user.request('GET', url)
    expect([got.status, got.body]).toEqual([200, 'x'.repeat(30)])
    expect(got.headers['content-disposition']).toContain("filename*=UTF-8''%C3%9Cn%C3%AF.bin")
    expect((await user.patch(url, 30, '')).status).toBe(403)
    expect((await user.patch(url, 0, 'x')).status).toBe(403)
  })

  test('is looked at without stopping the chunks that come', async () => {
    const user = newUser()
    const id = await user.frago.start('looked-at.bin', 2_000_000)
    const sending = [0, 1_000_000].map((start) => user.frago.openPut(id, start, 1_000_000, 2_000_000))
    for (const each of sending) await each.write(Buffer.alloc(500_000))
    await expect.poll(() => stage.count(`$s.claims where upload_id = '${id}'`)).toBe(2)
    for (let count = 0; count < 3; count++) {
      const { status, headers } = await user.request('HEAD', user.at(id))
      expect([status, headers['upload-offset']]).toEqual([200, '0'])
    }
    for (const each of sending) await each.write(Buffer.alloc(500_000))
    for (const each of sending) expect((await each.end()).status).toBe(200)
  })

  test('can be deleted, whatever its state', async () => {
    const user = newUser()
    const open = await user.frago.start('open.bin', 10)
    await user.frago.put(open, 5, 'hello', 10)
    const complete = await user.frago.upload('complete.bin', Buffer.from('hello'))
    for (const id of [open, complete]) {
      expect((await user.request('DELETE', user.at(id))).status).toBe(204)
      expect((await user.frago.detail(id)).status).toBe(404)
      expect((await user.frago.put(id, 0, 'hello', 10)).status).toBe(404)
      expect((await user.frago.finalize(id, 'x')).status).toBe(404)
      expect((await user.request('HEAD', user.at(id))).status).toBe(404)
    }
    expect(await listed(user)).toEqual([])
    expect(Object.keys(await stage.published())).not.toContain('complete.bin')
  })

  test('is no part of a final', async () => {
    const user = newUser()
    const id = await user.frago.upload('no-part.bin', Buffer.from('hello'))
    const final = await user.request('POST', user.at('').slice(0, -1), {
      'Upload-Concat': `final;${user.at(id)}`,
    })
    expect(final.status).toBe(400)
  })

  test('is expired there, too', async () => {
    const user = newUser()
    const id = await user.frago.start('expired.bin', 5)
    await stage.schema.run(
      `update $s.uploads set expires_at = now() - interval '1 second' where id = '${id}'`,
    )
    for (const method of ['HEAD', 'GET']) expect((await user.request(method, user.at(id))).status).toBe(410)
    expect((await user.frago.detail(id)).json.status).toBe('expired')
  })
})

describe('an upload of tus, seen through frago', () => {
  test('has its name, its length, and what was received as one chunk', async () => {
    const user = newUser()
    const url = await user.tus(10, 'hel', {
      'Upload-Metadata': `filename ${base64('a b.txt')},x ${base64('y')}`,
    })
    const id = idOf(url)
    const expected = {
      upload_id: id,
      filename: 'a b.txt',
      total_size: 10,
      status: 'in_progress',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$/),
      completed_at: null,
      chunks: [{ start: 0, end: 2, size: 3 }],
    }
    const detail = await user.frago.detail(id)
    expect([detail.status, detail.json]).toEqual([200, expected])
    expect(Object.keys(detail.json)).toEqual(Object.keys(expected))
    expect((await user.frago.list()).json).toEqual([detail.json])
    await user.patch(url, 3, 'lo wo')
    expect((await user.frago.detail(id)).json.chunks).toEqual([{ start: 0, end: 7, size: 8 }])
    await user.patch(url, 8, 'rd')
    const complete = (await user.frago.detail(id)).json
    expect(complete).toMatchObject({ status: 'complete', completed_at: expect.any(String), chunks: [] })
    expect((await user.frago.list()).json).toEqual([complete])
  })

  test('goes by its id where it has no name, and without a length while it has none', async () => {
    const user = newUser()
    const url = await user.create({ 'Upload-Defer-Length': '1' })
    const id = idOf(url)
    const facts = { upload_id: id, filename: id, total_size: null, status: 'in_progress', chunks: [] }
    expect((await user.frago.detail(id)).json).toMatchObject(facts)
    await user.patch(url, 0, 'hello')
    const chunks = [{ start: 0, end: 4, size: 5 }]
    expect((await user.frago.list()).json).toMatchObject([{ ...facts, chunks }])
    const named = { ...OFFSETS, 'Upload-Offset': '5', 'Upload-Length': '6' }
    expect((await user.request('PATCH', url, named, '!')).status).toBe(204)
    expect((await user.frago.detail(id)).json).toMatchObject({ total_size: 6, status: 'complete' })
  })

  test('of no bytes is complete', async () => {
    const user = newUser()
    const id = idOf(await user.tus(0))
    expect((await user.frago.list()).json).toMatchObject([
      { upload_id: id, total_size: 0, status: 'complete' },
    ])
  })

  test('is written to and finished through tus only', async () => {
    const user = newUser()
    const open = await user.tus(10, 'hel')
    const deferred = await user.create({ 'Upload-Defer-Length': '1' })
    const complete = await user.tus(5, 'hello')
    const part = await user.part(5, 'hello')
    const final = await user.final(part)
    for (const url of [open, deferred, complete, part, final]) {
      const id = idOf(url)
      const before = await user.frago.detail(id)
      const total = before.json.total_size ?? 10
      const put = await user.frago.put(id, 0, 'hello', total)
      const words = url === final ? 'final' : 'tus'
      expect([put.status, put.json]).toEqual([403, { status: false, error: expect.stringContaining(words) }])
      for (const checksum of [md5('hello'), '', undefined]) {
        const finalized = await user.frago.finalize(id, checksum)
        const refused = { status: false, message: expect.stringContaining('tus') }
        expect([finalized.status, finalized.json]).toEqual([403, refused])
      }
      expect((await user.frago.detail(id)).json).toEqual(before.json)
    }
    expect((await user.request('HEAD', open)).headers['upload-offset']).toBe('3')
  })

  test('is not listed while it is a part, or a final that waits', async () => {
    const user = newUser()
    const parts = [await user.part(5, 'hello'), await user.part(5)]
    const waiting = await user.final(...parts)
    expect(await listed(user)).toEqual([])
    await user.patch(parts[1] ?? '', 0, 'world')
    expect((await user.frago.list()).json).toMatchObject([
      { upload_id: idOf(waiting), filename: idOf(waiting), total_size: 10, status: 'complete', chunks: [] },
    ])
    await user.request('DELETE', waiting)
    expect(await listed(user)).toEqual([])
  })

  test('never appears among the published files', async () => {
    const user = newUser()
    const name = { 'Upload-Metadata': `filename ${base64('of-tus.bin')}` }
    await user.tus(5, 'hello', name)
    await sweep(server.engine)
    expect(Object.keys(await stage.published())).not.toContain('of-tus.bin')
  })
})

describe('the list', () => {
  test('has what is complete first, the newest before the others, then the rest as it was started', async () => {
    const user = newUser()
    const open = [await user.frago.start('open 1', 5)]
    const first = await user.frago.start('complete, started first', 5)
    await user.frago.put(first, 0, 'hello', 5)
    const expired = await user.frago.start('expired', 5)
    const tus = idOf(await user.tus(5, 'hello'))
    open.push(expired, idOf(await user.tus(5, 'he')), await user.frago.start('open 2', 5))
    const second = await user.frago.upload('complete', Buffer.from('hello'))
    await user.frago.finalize(first, md5('hello'))
    await stage.schema.run(
      `update $s.uploads set expires_at = now() - interval '1 second' where id = '${expired}'`,
    )
    for (const swept of [false, true]) {
      if (swept) await sweep(server.engine)
      expect(await listed(user)).toEqual([first, second, tus, ...open])
      const statuses = (await user.frago.list()).json.map(({ status }: { status: string }) => status)
      expect(statuses).toEqual([
        ...Array(3).fill('complete'),
        'in_progress',
        'expired',
        'in_progress',
        'in_progress',
      ])
    }
    // To finish again changes no order.
    await user.frago.finalize(second, md5('hello'))
    expect((await listed(user)).slice(0, 3)).toEqual([first, second, tus])
  })

  test('shows of each what its detail shows', async () => {
    const user = newUser()
    const id = await user.frago.start('details', 100)
    for (const start of [50, 0, 70]) await user.frago.put(id, start, 'x'.repeat(10), 100)
    await user.tus(10, 'hello')
    await user.frago.upload('done', Buffer.from('x'))
    for (const entry of (await user.frago.list()).json) {
      expect((await user.frago.detail(entry.upload_id)).json).toEqual(entry)
    }
    expect((await user.frago.detail(id)).json.chunks.map(({ start }: { start: number }) => start)).toEqual([
      0, 50, 70,
    ])
  })

  test('is for nobody without a name, and details are for whoever knows the id', async () => {
    const anonymous = userAt(server.origin, {})
    const id = await anonymous.frago.start('anonymous', 5)
    const answer = await anonymous.frago.list()
    expect([answer.status, answer.json]).toEqual([
      403,
      { status: false, message: 'anonymous users can not view uploads ' },
    ])
    expect((await anonymous.frago.detail(id)).status).toBe(200)
    expect((await newUser().frago.detail(id)).status).toBe(404)
    const named = await newUser().frago.start('named', 5)
    expect((await anonymous.frago.detail(named)).status).toBe(404)
  })
})

test('owners do not exist for each other, on any route of both protocols', async () => {
  const file = join(await scratchDirectory(), 'tokens')
  await writeFile(file, 'a-token alice\nb-token bob\n')
  const env = { ...sharedDatabase(), AUTH_TOKENS: file, CHUNKED_UPLOADER_IDENTIFIER_MODE: 'user' }
  const { origin } = await startTributary({ env })
  const alice = userAt(origin, { Authorization: 'Token a-token' })
  const bob = userAt(origin, { Authorization: 'Bearer b-token' })
  const nobody = userAt(origin, {})
  const part = await alice.part(5, 'hello')
  const ids: Readonly<Record<string, string>> = {
    'a frago upload': await alice.frago.start('alice.bin', 5),
    'a finished frago upload': await alice.frago.upload('done.bin', Buffer.from('hello')),
    'a tus upload': idOf(await alice.tus(5, 'he')),
    'a finished tus upload': idOf(await alice.tus(5, 'hello')),
    'a part': idOf(part),
    'a final': idOf(await alice.final(part)),
  }
  const unknown = '00000000-0000-4000-8000-000000000000'
  const chunk = multipart([filePart('world')])
  const range = { 'Content-Type': MULTIPART, 'Content-Range': 'bytes 0-4/5' }
  const json = { 'Content-Type': 'application/json' }
  type User = typeof alice
  /** Everything there is to try with an id. */
  const attempts = (user: User, id: string) => {
    const address = user.frago.urlOf(id)
    return {
      'frago GET': () => user.request('GET', address),
      'frago HEAD': () => user.request('HEAD', address),
      'frago PUT': () => user.request('PUT', address, range, chunk),
      'frago PUT without a range': () => user.request('PUT', address, json, '{}'),
      'frago POST': () => user.request('POST', address, json, JSON.stringify({ checksum: md5('hello') })),
      'frago POST of nothing': () => user.request('POST', address),
      'tus HEAD': () => user.request('HEAD', user.at(id)),
      'tus GET': () => user.request('GET', user.at(id)),
      'tus PATCH': () => user.patch(user.at(id), 2, 'llo'),
      'tus DELETE': () => user.request('DELETE', user.at(id)),
      'tus final': () => user.request('POST', `${origin}/files`, { 'Upload-Concat': `final;${user.at(id)}` }),
    }
  }
  const before = (await alice.frago.list()).json
  const strange = attempts(bob, unknown)
  for (const [what, id] of Object.entries(ids)) {
    for (const [name, attempt] of Object.entries(attempts(bob, id))) {
      const { status, body } = await attempt()
      expect(status, `${name} of ${what}`).toBe(404)
      // Not to be told from an id that never was.
      const { body: expected } = await strange[name as keyof typeof strange]()
      expect(body, `${name} of ${what}`).toBe(expected.replace(unknown, id))
    }
    for (const [name, attempt] of Object.entries(attempts(nobody, id))) {
      expect((await attempt()).status, `${name} of ${what}`).toBe(401)
    }
  }
  expect((await bob.frago.list()).json).toEqual([])
  const bobs = await bob.frago.start('alice.bin', 5)
  expect(await listed(bob)).toEqual([bobs])
  expect((await alice.frago.list()).json).toEqual(before)
  for (const [method, url] of [
    ['GET', nobody.frago.base],
    ['POST', nobody.frago.base],
    ['PUT', nobody.frago.base],
    ['DELETE', nobody.frago.base],
    ['PATCH', nobody.frago.urlOf(unknown)],
    ['POST', `${origin}/files`],
  ] as const) {
    const { status, headers } = await nobody.request(method, url, json, '{')
    expect([status, headers['www-authenticate']], `${method} ${url}`).toEqual([
      401,
      expect.stringContaining('Token'),
    ])
  }
  // What is alice's is as it was, and hers to go on with.
  const open = ids['a frago upload'] ?? ''
  expect((await alice.frago.put(open, 0, 'hello', 5)).json).toMatchObject({ message: 'Chunk uploaded' })
  expect((await alice.frago.finalize(open, md5('hello'))).status).toBe(201)
  expect((await alice.patch(alice.at(ids['a tus upload'] ?? ''), 2, 'llo')).status).toBe(204)
})
