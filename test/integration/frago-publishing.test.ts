import { link, lstat, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Publisher } from '../../src/upload/ports.js'
import { sweep } from '../../src/upload/sweep.js'
import { FragoClient, hexDigest, md5 } from '../support/frago-client.js'
import { type FragoServer, type FragoServerOptions, FragoStage } from '../support/frago-stage.js'
import { Gate } from '../support/gate.js'
import { expectSwept } from '../support/invariants.js'
import { send } from '../support/raw-tus.js'
import { seededBytes } from '../support/seeded.js'
import { sharedDatabase, startTributary } from '../support/tributary.js'

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

/** A stage of the test's own. */
async function open(options: FragoServerOptions = {}) {
  const own = await FragoStage.open()
  onTestFinished(() => own.close())
  const ownServer = await own.serve(options)
  return { stage: own, server: ownServer, client: ownServer.client() }
}

async function download(id: string, from: FragoServer = server) {
  const { status, body } = await send(`${from.files}/${id}`)
  return { status, body }
}

const terminate = (id: string, at: FragoServer = server) => send(`${at.files}/${id}`, { method: 'DELETE' })

async function filesUnder(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
}

/** A publisher with something around one of its calls. */
function around(
  publisher: Publisher,
  call: keyof Publisher,
  act: (original: () => unknown) => unknown,
): Publisher {
  return new Proxy(publisher, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      return (...args: readonly unknown[]) => {
        const original = () => Reflect.apply(member, target, args) as unknown
        return name === call ? act(original) : original()
      }
    },
  })
}

/** The only file of blobs there is. */
async function onlyBlob({ blobs }: FragoStage): Promise<string> {
  const files = await filesUnder(blobs)
  expect(files).toHaveLength(1)
  return files[0] ?? ''
}

describe('a finished file', () => {
  test('appears under its name, for reading only, and is the blob itself', async () => {
    const own = await open()
    const bytes = seededBytes('published', 300_000)
    const id = await own.client.upload('Ünï→😀 file.tar.gz', bytes)
    expect(await readdir(own.stage.assembled)).toEqual(['Ünï→😀 file.tar.gz'])
    const path = join(own.stage.assembled, 'Ünï→😀 file.tar.gz')
    expect((await readFile(path)).equals(bytes)).toBe(true)
    const response = await fetch(`${own.server.files}/${id}`)
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true)
    expect(response.headers.get('content-disposition')).toContain("filename*=UTF-8''%C3%9Cn%C3%AF")
    const published = await lstat(path)
    expect(published.isFile()).toBe(true)
    expect(published.mode & 0o777).toBe(0o444)
    const blob = await stat(await onlyBlob(own.stage))
    expect([published.ino, published.nlink]).toEqual([blob.ino, 2])
  })

  test('is not there before it is finished, nor when its digest does not fit', async () => {
    const own = await open()
    await own.client.upload('good.bin', Buffer.from('the good one'))
    const id = await own.client.start('good.bin', 5)
    await own.client.put(id, 0, 'hello', 5)
    expect((await own.client.finalize(id, md5('other'))).status).toBe(400)
    expect(await own.stage.published()).toEqual({ 'good.bin': 'the good one' })
    expect(await readdir(own.stage.assembled)).toEqual(['good.bin'])
  })

  test('of many chunks, some of them replaced, is one file', async () => {
    const own = await open()
    const total = 500_000
    const bytes = Buffer.from(seededBytes('replaced', total))
    const id = await own.client.start('several.bin', total)
    for (let start = 0; start < total; start += 100_000) {
      await own.client.put(id, start, bytes.subarray(start, start + 100_000), total)
    }
    for (const start of [100_000, 300_000, 100_000]) {
      seededBytes(`again ${start}`, 100_000).copy(bytes, start)
      await own.client.put(id, start, bytes.subarray(start, start + 100_000), total)
    }
    expect((await filesUnder(own.stage.blobs)).length).toBeGreaterThan(1)
    expect((await own.client.finalize(id, md5(bytes))).status).toBe(201)
    const path = join(own.stage.assembled, 'several.bin')
    expect((await readFile(path)).equals(bytes)).toBe(true)
    const [published, blob] = [await stat(path), await stat(await onlyBlob(own.stage))]
    expect([published.ino, published.mode & 0o777]).toEqual([blob.ino, 0o444])
    const response = await fetch(`${own.server.files}/${id}`)
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true)
    await expectSwept(own.stage.schema, own.stage.blobs, 'after it was published')
  })

  test('that may not be assembled is a copy of its blobs', async () => {
    const own = await open({ policy: { assembly: 'never' } })
    const id = await own.client.start('copied.bin', 10)
    for (const [start, text] of [
      [0, 'xxxxx'],
      [5, 'world'],
      [0, 'hello'],
    ] as const) {
      await own.client.put(id, start, text, 10)
    }
    expect((await own.client.finalize(id, md5('helloworld'))).status).toBe(201)
    expect(await own.stage.published()).toEqual({ 'copied.bin': 'helloworld' })
    const { nlink, mode } = await stat(join(own.stage.assembled, 'copied.bin'))
    expect([nlink, mode & 0o777]).toEqual([1, 0o444])
    expect((await filesUnder(own.stage.blobs)).length).toBe(2)
    expect((await download(id, own.server)).body).toBe('helloworld')
    expect((await terminate(id, own.server)).status).toBe(204)
    expect(await filesUnder(own.stage.directory)).toEqual([])
  })
})

describe('a name that is taken', () => {
  const OLDER = /^same\.tar_\d{8}_\d{6}(_\d)?\.gz$/

  test('goes to the newest, three times in one second', async () => {
    const own = await open()
    for (const text of ['first', 'second', 'third']) await own.client.upload('same.tar.gz', Buffer.from(text))
    const published = await own.stage.published()
    expect(Object.values(published).toSorted()).toEqual(['first', 'second', 'third'])
    expect(published['same.tar.gz']).toBe('third')
    const older = Object.keys(published).filter((name) => name !== 'same.tar.gz')
    for (const name of older) expect(name).toMatch(OLDER)
    // Nothing of the work is left.
    expect(await readdir(own.stage.assembled)).toHaveLength(3)
  })

  test('goes to one of those who finish at once, on two servers, and no file is lost', async () => {
    const own = await open()
    const clients = [own.client, (await own.stage.serve()).client()] as const
    const texts = Array.from({ length: 12 }, (_, index) => `content ${index}`)
    await Promise.all(
      texts.map((text, index) => clients[index % 2 ? 1 : 0].upload('same.tar.gz', Buffer.from(text))),
    )
    const published = await own.stage.published()
    expect(Object.values(published).toSorted()).toEqual(texts.toSorted())
    expect(published['same.tar.gz']).toBeDefined()
    expect(await readdir(own.stage.assembled)).toHaveLength(texts.length)
  })

  test('by a stranger’s file leaves that its content', async () => {
    const own = await open()
    await writeFile(join(own.stage.assembled, 'same.tar.gz'), 'a stranger’s')
    await own.client.upload('same.tar.gz', Buffer.from('ours'))
    const { 'same.tar.gz': ours, ...others } = await own.stage.published()
    expect(ours).toBe('ours')
    expect(Object.keys(others)[0]).toMatch(OLDER)
    expect(Buffer.from(Object.values(others)[0] ?? '', 'latin1').toString()).toBe('a stranger’s')
  })

  test('and as long as a name can be is shortened for the older file', async () => {
    const own = await open()
    const name = `${'ü'.repeat(125)}x.bin`
    expect(Buffer.byteLength(name)).toBe(255)
    for (const text of ['first', 'second']) await own.client.upload(name, Buffer.from(text))
    const published = await own.stage.published()
    expect(published[name]).toBe('second')
    expect(Object.values(published).toSorted()).toEqual(['first', 'second'])
  })
})

describe('terminating through tus', () => {
  test('removes the published file, and frees all of it', async () => {
    const own = await open()
    const id = await own.client.upload('gone.bin', Buffer.from('hello'))
    expect((await terminate(id, own.server)).status).toBe(204)
    expect(await filesUnder(own.stage.directory)).toEqual([])
    expect((await own.client.detail(id)).status).toBe(404)
    expect((await own.client.finalize(id, md5('hello'))).status).toBe(404)
    expect((await download(id, own.server)).status).toBe(404)
    for (const table of ['uploads', 'publications', 'digests', 'blobs', 'assemblies']) {
      expect(await own.stage.count(`$s.${table}`), table).toBe(0)
    }
  })

  test('removes that file only, under whatever name it has', async () => {
    const own = await open()
    const ids: string[] = []
    for (const text of ['first', 'second', 'third']) {
      ids.push(await own.client.upload('same.bin', Buffer.from(text)))
    }
    const [first = '', second = '', third = ''] = ids
    const contents = async () => Object.values(await own.stage.published()).toSorted()
    expect((await terminate(second, own.server)).status).toBe(204)
    expect(await contents()).toEqual(['first', 'third'])
    expect((await terminate(third, own.server)).status).toBe(204)
    expect(await contents()).toEqual(['first'])
    expect((await own.stage.published())['same.bin']).toBeUndefined()
    const fourth = await own.client.upload('same.bin', Buffer.from('fourth'))
    expect((await own.stage.published())['same.bin']).toBe('fourth')
    for (const id of [first, fourth]) await terminate(id, own.server)
    expect(await filesUnder(own.stage.directory)).toEqual([])
  })

  test('leaves what somebody else put in its place', async () => {
    const own = await open()
    const id = await own.client.upload('moved.bin', Buffer.from('hello'))
    await rm(join(own.stage.assembled, 'moved.bin'))
    await writeFile(join(own.stage.assembled, 'moved.bin'), 'somebody else’s')
    expect((await terminate(id, own.server)).status).toBe(204)
    expect(await readdir(own.stage.assembled)).toEqual(['moved.bin'])
    // Whoever took the file away keeps it, too.
    const other = await own.client.upload('kept.bin', Buffer.from('kept'))
    await link(join(own.stage.assembled, 'kept.bin'), join(own.stage.directory, 'taken'))
    await terminate(other, own.server)
    expect(await readFile(join(own.stage.directory, 'taken'), 'utf8')).toBe('kept')
  })

  test('frees an upload whose chunks still arrive, and its writer is told', async () => {
    const own = await open()
    const id = await own.client.start('under-way.bin', 2_000_000)
    await own.client.put(id, 0, seededBytes('there', 1_000_000), 2_000_000)
    const sending = own.client.openPut(id, 1_000_000, 1_000_000, 2_000_000)
    await sending.write(Buffer.alloc(500_000))
    await expect.poll(() => own.stage.count('$s.claims')).toBe(1)
    expect((await terminate(id, own.server)).status).toBe(204)
    await sending.write(Buffer.alloc(500_000))
    expect([404, 409, 423]).toContain((await sending.end()).status)
    await sweep(own.server.engine)
    await expectSwept(own.stage.schema, own.stage.blobs, 'after its end')
    expect(await filesUnder(own.stage.directory)).toEqual([])
  })

  test('waits for its file to appear, and then takes that away', async () => {
    const [placing, going] = [new Gate(), new Gate()]
    const held = (publisher: Publisher) =>
      around(publisher, 'place', async (place) => {
        placing.open()
        await going.opened
        return place()
      })
    const own = await open({ publisher: held })
    const id = await own.client.start('raced.bin', 5)
    await own.client.put(id, 0, 'hello', 5)
    const finalized = own.client.finalize(id, md5('hello'))
    await placing.opened
    const terminated = terminate(id, own.server)
    going.open()
    expect((await terminated).status).toBe(204)
    expect([201, 404]).toContain((await finalized).status)
    await sweep(own.server.engine)
    expect(await filesUnder(own.stage.directory)).toEqual([])
    expect(await own.stage.count('$s.publications')).toBe(0)
  })
})

describe('RETAIN_PUBLISHED', () => {
  const identify = () => 'ann'

  /** Bytes are gone, and everything else is as it was. */
  async function expectReleased(own: Awaited<ReturnType<typeof open>>, id: string): Promise<void> {
    expect(await filesUnder(own.stage.blobs)).toEqual([])
    const { nlink, mode } = await stat(join(own.stage.assembled, 'released.bin'))
    expect([nlink, mode & 0o777]).toEqual([1, 0o444])
    expect(await own.stage.published()).toEqual({ 'released.bin': 'hello' })
    expect((await download(id, own.server)).status).toBe(410)
    const head = await send(`${own.server.files}/${id}`, { method: 'HEAD' })
    expect([head.status, head.headers['upload-offset'], head.headers['upload-length']]).toEqual([
      200,
      '5',
      '5',
    ])
    const detail = (await own.client.detail(id)).json
    expect(detail).toMatchObject({ status: 'complete', total_size: 5, chunks: [] })
    expect((await own.client.list()).json).toEqual([detail])
    const done = { status: true, message: 'Upload completed for released.bin', upload_id: id }
    for (let count = 0; count < 2; count++) {
      const again = await own.client.finalize(id, md5('hello'))
      expect([again.status, again.json]).toEqual([201, done])
    }
    expect((await own.client.finalize(id, md5('x'))).status).toBe(400)
    expect((await own.client.put(id, 0, 'hello', 5)).status).toBe(409)
    // No byte is left to work out another digest from.
    expect((await own.client.finalize(id, hexDigest('sha1', 'hello'), 'sha1')).status).toBe(410)
    expect(own.server.eventsOf(id).filter((event) => event === 'upload_completed')).toHaveLength(1)
  }

  async function expectGone(own: Awaited<ReturnType<typeof open>>, id: string): Promise<void> {
    expect((await terminate(id, own.server)).status).toBe(204)
    expect(await filesUnder(own.stage.directory)).toEqual([])
    expect((await own.client.list()).json).toEqual([])
    expect(await own.stage.count('$s.publications')).toBe(0)
  }

  test('of 0 leaves the published file as the only copy', async () => {
    const own = await open({ policy: { retainPublished: 0 }, app: { identify } })
    const id = await own.client.upload('released.bin', Buffer.from('hello'))
    await expectReleased(own, id)
    await sweep(own.server.engine)
    await expectReleased(own, id)
    await expectGone(own, id)
  })

  test('of some time does so when that is over', async () => {
    const own = await open({ policy: { retainPublished: 60_000 }, app: { identify } })
    const id = await own.client.upload('released.bin', Buffer.from('hello'))
    await sweep(own.server.engine)
    expect(await download(id, own.server)).toEqual({ status: 200, body: 'hello' })
    await own.stage.schema.run(
      `update $s.publications set published_at = published_at - interval '60 seconds'`,
    )
    await sweep(own.server.engine)
    await expectReleased(own, id)
    await expectGone(own, id)
  })

  test('of 0 also frees what lay in several blobs, and keeps the files of one name apart', async () => {
    const own = await open({ policy: { retainPublished: 0 }, app: { identify } })
    const ids: string[] = []
    for (const text of ['first', 'second', 'third']) {
      const id = await own.client.start('same.bin', text.length)
      await own.client.put(id, 0, '?'.repeat(text.length), text.length)
      await own.client.put(id, 0, text.slice(0, 2), text.length)
      await own.client.put(id, 2, text.slice(2), text.length)
      expect((await own.client.finalize(id, md5(text))).status).toBe(201)
      ids.push(id)
    }
    expect(await filesUnder(own.stage.blobs)).toEqual([])
    expect(Object.values(await own.stage.published()).toSorted()).toEqual(['first', 'second', 'third'])
    for (const id of ids) expect((await terminate(id, own.server)).status).toBe(204)
    expect(await filesUnder(own.stage.directory)).toEqual([])
  })

  test('never touches what tus finished', async () => {
    const own = await open({ policy: { retainPublished: 0 }, app: { identify } })
    const created = await send(own.server.files, {
      method: 'POST',
      headers: { 'Upload-Length': '5', 'Content-Type': 'application/offset+octet-stream' },
      body: 'hello',
    })
    await sweep(own.server.engine)
    expect((await send(String(created.headers.location))).body).toBe('hello')
  })
})

describe('frago’s own settings of places', () => {
  test('CHUNK_UPLOAD_PATH and ASSEMBLED_PATH lead elsewhere', async () => {
    const [chunks, assembled] = [await scratch(tmpdir()), await scratch(tmpdir())]
    const server_ = await startTributary({
      env: {
        ...sharedDatabase(),
        CHUNKED_UPLOADER_CHUNK_UPLOAD_PATH: chunks,
        CHUNKED_UPLOADER_ASSEMBLED_PATH: join(assembled, 'made/by/the/server'),
      },
    })
    const own = new FragoClient(`${server_.origin}/upload/`)
    await own.upload('elsewhere.bin', Buffer.from('hello'))
    expect(await readFile(join(assembled, 'made/by/the/server/elsewhere.bin'), 'utf8')).toBe('hello')
    expect(await filesUnder(server_.dataDir)).toEqual([])
    const [blob = ''] = await filesUnder(chunks)
    expect((await stat(blob)).nlink).toBe(2)
  })

  test('on another disk files are copied, of which the start warns', async (context) => {
    const other = await scratch('/dev/shm').catch(() => null)
    if (other === null) return context.skip('there is no /dev/shm to be another disk')
    const server_ = await startTributary({
      env: { ...sharedDatabase(), CHUNKED_UPLOADER_ASSEMBLED_PATH: other, RETAIN_PUBLISHED: '0' },
    })
    if ((await stat(other)).dev === (await stat(server_.dataDir)).dev) {
      return context.skip('/dev/shm is on the same disk as the temporary directory')
    }
    expect(server_.log.map(({ msg }) => msg)).toContainEqual(expect.stringContaining('copied'))
    const own = new FragoClient(`${server_.origin}/upload/`)
    const ids: string[] = []
    for (const text of ['first', 'second']) ids.push(await own.upload('copied.bin', Buffer.from(text)))
    expect(await readFile(join(other, 'copied.bin'), 'utf8')).toBe('second')
    expect((await stat(join(other, 'copied.bin'))).mode & 0o777).toBe(0o444)
    expect(await filesUnder(other)).toHaveLength(2)
    expect(await filesUnder(server_.dataDir)).toEqual([])
    for (const id of ids) expect((await send(`${server_.url}/${id}`, { method: 'DELETE' })).status).toBe(204)
    expect(await filesUnder(other)).toEqual([])
  })

  async function scratch(parent: string): Promise<string> {
    const path = await mkdtemp(join(parent, 'tributary-place-'))
    onTestFinished(() => rm(path, { recursive: true, force: true }))
    return path
  }
})

test('the same upload can be had at both addresses while it is published', async () => {
  const bytes = seededBytes('shared', 100_000)
  const id = await client.upload('shared.bin', bytes)
  const range = await send(`${server.files}/${id}`, { headers: { Range: 'bytes=10-19' } })
  expect([range.status, range.headers['content-range']]).toEqual([206, 'bytes 10-19/100000'])
  expect((await stage.published())['shared.bin']).toBe(bytes.toString('latin1'))
})
