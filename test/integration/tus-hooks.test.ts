import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DataStore, EVENTS, Server, type Upload } from '@tus/server'
import { afterEach, describe, expect, test } from 'vitest'
import { extendServer } from '../../src/tus/extend-server.js'
import { concatenate, create, createPart, head, OpenRequest, patch, send } from '../support/raw-tus.js'
import { recorder, type StageOptions, TusStage } from '../support/tus-stage.js'

let stage: TusStage
afterEach(() => stage.close())

async function open(server: StageOptions['server'] = {}, rest: StageOptions = {}): Promise<TusStage> {
  stage = await TusStage.open({ server, ...rest })
  return stage
}

const BODY = { 'Content-Type': 'application/offset+octet-stream' }

async function post(headers: Readonly<Record<string, string>>, body = '') {
  return send(stage.endpoint, { method: 'POST', headers, body })
}

async function finishedPart(text: string): Promise<string> {
  const url = await createPart(stage.endpoint, text.length)
  await patch(url, 0, Buffer.from(text))
  return url
}

describe('hooks', () => {
  test('see a web request that knows the Node one', async () => {
    const seen: Request[] = []
    await open({
      onIncomingRequest: async (request) => {
        seen.push(request)
      },
    })
    const url = await create(`${stage.endpoint}?a=b`, 5, { 'X-Mine': 'yes' })
    await head(url)
    expect(seen.map(({ method }) => method)).toEqual(['POST', 'HEAD'])
    expect(seen[0]?.url).toBe(`${stage.endpoint}?a=b`)
    expect(seen[0]?.headers.get('x-mine')).toBe('yes')
    expect(seen[0]).toMatchObject({ node: { req: { url: '/files?a=b' } }, runtime: { name: 'node' } })
  })

  test('onIncomingRequest gets the id of every request, and may refuse it', async () => {
    const ids: [string, string][] = []
    await open({
      onIncomingRequest: async (request, id) => {
        ids.push([request.method, id])
        if (request.headers.get('x-refuse')) throw { status_code: 401, body: 'no\n' }
      },
    })
    const url = await create(stage.endpoint, 0)
    const id = url.split('/').at(-1)
    await head(url)
    await patch(url, 0, Buffer.alloc(0))
    await send(url)
    expect(ids).toEqual(['POST', 'HEAD', 'PATCH', 'GET'].map((method) => [method, id]))
    const refused = await send(url, { method: 'DELETE', headers: { 'X-Refuse': '1' } })
    expect([refused.status, refused.body]).toEqual([401, 'no\n'])
    expect((await head(url)).status).toBe(200)
    expect((await send(stage.endpoint, { method: 'OPTIONS', headers: { 'X-Refuse': '1' } })).status).toBe(204)
  })

  test('onUploadCreate may change the metadata; what it leaves alone keeps its bytes', async () => {
    await open({
      onUploadCreate: async (_, upload) => ({ metadata: { ...upload.metadata, owner: 'mé', flag: null } }),
    })
    const url = await create(stage.endpoint, 5, { 'Upload-Metadata': 'binary AP/+gIE=,__proto__ YQ==,none' })
    expect((await head(url)).headers['upload-metadata']).toBe(
      `binary AP/+gIE=,__proto__ YQ==,none,owner ${Buffer.from('mé').toString('base64')},flag`,
    )
  })

  test('onUploadCreate may look only, and may refuse: then nothing is created', async () => {
    let seen: Upload | undefined
    await open({
      onUploadCreate: (async (_: Request, upload: Upload) => {
        seen = upload
        if (upload.size === 6) throw { status_code: 418, body: 'not six\n' }
      }) as never,
    })
    const metadata = { 'Upload-Metadata': 'filename YS50eHQ=' }
    const url = await create(stage.endpoint, 5, metadata)
    expect(seen).toMatchObject({
      size: 5,
      offset: 0,
      metadata: { filename: 'a.txt' },
      id: url.split('/').at(-1),
    })
    expect((await head(url)).headers['upload-metadata']).toBe('filename YS50eHQ=')
    const refused = await post({ 'Upload-Length': '6' })
    expect([refused.status, refused.body, refused.headers.location]).toEqual([418, 'not six\n', undefined])
    expect((await post({ ...BODY, 'Upload-Length': '6' }, 'abcdef')).status).toBe(418)
  })

  test('onUploadFinish runs once for a file, whichever way it was finished', async () => {
    const finished: string[] = []
    await open({
      onUploadFinish: async (_, upload) => {
        finished.push(`${upload.id} ${upload.offset}/${upload.size}`)
        return {}
      },
    })
    const id = (url: string | undefined) => url?.split('/').at(-1)
    const written = await create(stage.endpoint, 3)
    await patch(written, 0, Buffer.from('ab'))
    await patch(written, 2, Buffer.from('c'))
    await patch(written, 3, Buffer.alloc(0))
    const sent = await post({ ...BODY, 'Upload-Length': '3' }, 'abc')
    const empty = await create(stage.endpoint, 0)
    const parts = [await finishedPart('ab'), await finishedPart('c')]
    const final = await concatenate(stage.endpoint, parts)
    await concatenate(stage.endpoint, parts)
    expect(finished).toEqual([
      `${id(written)} 3/3`,
      `${id(sent.headers.location)} 3/3`,
      `${id(empty)} 0/0`,
      `${id(final)} 3/3`,
    ])
  })

  test('onUploadFinish runs for a final that waited, when its last part is there', async () => {
    const finished: string[] = []
    await open({
      onUploadFinish: async (_, upload) => {
        finished.push(upload.id)
        if (upload.size === 4) throw { status_code: 418, body: 'too late to refuse\n' }
        return {}
      },
    })
    const part = await createPart(stage.endpoint, 2)
    const twice = await concatenate(stage.endpoint, [part, part])
    const once = await concatenate(stage.endpoint, [part])
    expect((await patch(part, 0, Buffer.from('ab'))).status).toBe(204)
    expect(finished.toSorted()).toEqual([twice, once].map((url) => url.split('/').at(-1)).toSorted())
  })

  test('for what is made once run once, also where they change the metadata of a final each time', async () => {
    let runs = 0
    await open({ onUploadCreate: async () => ({ metadata: { run: String(++runs) } }) })
    const parts = [await finishedPart('ab')]
    const url = await concatenate(stage.endpoint, parts)
    const made = runs
    expect(await concatenate(stage.endpoint, parts)).toBe(url)
    expect(runs).toBe(made)
  })

  test('onUploadFinish may change the answer', async () => {
    await open({
      onUploadFinish: async () => ({
        status_code: 200,
        headers: { 'X-Done': 1, 'upload-offset': 'x' },
        body: 'ok',
      }),
    })
    const url = await create(stage.endpoint, 3)
    const answer = await patch(url, 0, Buffer.from('abc'))
    expect([answer.status, answer.body, answer.headers['x-done']]).toEqual([200, 'ok', '1'])
    const created = await post({ 'Upload-Length': '0' })
    expect([created.status, created.headers.location]).toEqual([200, undefined])
  })

  test('that fail cost their request an answer, and nothing else', async () => {
    await open({
      onUploadFinish: async () => {
        throw new Error('secret of the house')
      },
    })
    const url = await create(stage.endpoint, 3)
    const answer = await patch(url, 0, Buffer.from('abc'))
    expect(answer.status).toBe(500)
    expect(answer.body).not.toContain('secret')
    expect((await head(url)).headers['upload-offset']).toBe('3')
  })

  test.each([
    { headers: { 'X-Bad': 'a\r\nb: c' } },
    { headers: { 'bad name': '1' } },
    { status_code: 99 },
    { status_code: 1000 },
  ])('that answer %j do not break the connection', async (answer) => {
    await open({ onUploadFinish: async () => answer as never })
    expect((await post({ 'Upload-Length': '0' })).status).toBe(500)
    expect((await send(stage.endpoint, { method: 'OPTIONS' })).status).toBe(204)
  })

  test('onResponseError may replace an answer, and sees what it would be', async () => {
    const seen: unknown[] = []
    await open({
      onResponseError: (_, error) => {
        const { status_code } = error as { status_code: number }
        seen.push([error instanceof Error, status_code, (error as Error & { code?: string }).code])
        return status_code === 404 ? { status_code: 403, body: 'mapped' } : undefined
      },
    })
    expect(await head(`${stage.endpoint}/x`)).toMatchObject({ status: 403 })
    expect((await post({})).status).toBe(400)
    expect(seen).toEqual([
      [true, 404, 'upload_not_found'],
      [true, 400, 'invalid_length'],
    ])
    stage.tus.options.onResponseError = () => {
      throw new Error('broken')
    }
    expect((await post({})).status).toBe(400)
  })

  test('namingFunction may choose ids of our form only', async () => {
    const id = randomUUID()
    await open({ namingFunction: () => id })
    expect(await create(stage.endpoint, 5)).toBe(`${stage.endpoint}/${id}`)
    for (const bad of ['holiday.jpg', id.toUpperCase(), '../x', '']) {
      stage.tus.options.namingFunction = () => bad
      const answer = await post({ 'Upload-Length': '5' })
      expect(answer.status).toBe(500)
      expect(answer.body).not.toContain(bad || 'UUID')
    }
  })

  test('getFileIdFromRequest finds ids where generateUrl puts them', async () => {
    const encode = (id: string) => Buffer.from(id).toString('base64url')
    await open({
      generateUrl: (_, { proto, host, id }) => `${proto}://${host}/u/${encode(id)}/file`,
      getFileIdFromRequest: (request, last) =>
        last === 'file'
          ? Buffer.from(new URL(request.url).pathname.split('/')[2] ?? '', 'base64url').toString()
          : last && Buffer.from(last, 'base64url').toString(),
    })
    const url = await create(stage.endpoint, 3)
    expect((await patch(url, 0, Buffer.from('abc'))).status).toBe(204)
    expect((await head(`${stage.endpoint}/${randomUUID()}`)).status).toBe(404)
    const part = await finishedPart('abc')
    expect((await post({ 'Upload-Concat': `final;${part.replace('/file', '')}` })).status).toBe(201)
  })

  test('server.get answers its own paths, before and after', async () => {
    const tus = new Server({ path: '/files', datastore: new DataStore() })
    tus.get('/before', () => new Response('before', { headers: { 'Set-Cookie': 'a=b' } }))
    await open()
    extendServer(tus, { engine: stage.engine })
    tus.get('/after', async (request) => new Response(new URL(request.url).search, { status: 202 }))
    tus.get('/broken', () => {
      throw new Error('broken')
    })
    const http = createServer((request, response) => void tus.handle(request, response))
    await once(http.listen(0, '127.0.0.1'), 'listening')
    const { port } = http.address() as AddressInfo
    const before = await fetch(`http://127.0.0.1:${port}/before`)
    expect([await before.text(), before.headers.get('set-cookie')]).toEqual(['before', 'a=b'])
    const after = await fetch(`http://127.0.0.1:${port}/after?x`)
    expect([after.status, await after.text()]).toEqual([202, '?x'])
    expect((await fetch(`http://127.0.0.1:${port}/broken`)).status).toBe(500)
    http.closeAllConnections()
    http.close()
  })
})

describe('events', () => {
  test('are told as @tus/server tells them', async () => {
    await open()
    const heard = Object.fromEntries(Object.values(EVENTS).map((event) => [event, recorder()]))
    for (const [event, { listener }] of Object.entries(heard)) stage.tus.on(event, listener)
    const url = await create(stage.endpoint, 3, { 'Upload-Metadata': 'a YQ==' })
    await patch(url, 0, Buffer.from('abc'))
    await send(url, { method: 'DELETE' })
    const id = url.split('/').at(-1)
    expect(heard.POST_CREATE?.calls).toEqual([
      [expect.any(Request), expect.objectContaining({ id, size: 3, metadata: { a: 'a' } }), url],
    ])
    expect(heard.POST_FINISH?.calls).toEqual([
      [expect.any(Request), expect.any(Response), expect.objectContaining({ id, offset: 3 })],
    ])
    const [, response] = heard.POST_FINISH?.calls[0] ?? []
    expect(response instanceof Response && response.headers.get('upload-offset')).toBe('3')
    expect(heard.POST_TERMINATE?.calls).toEqual([[expect.any(Request), expect.any(Response), id]])
  })

  test('reach listeners added before, after, once, to a handler, and not those removed', async () => {
    await open()
    const tus = new Server({ path: '/files', datastore: new DataStore() })
    const names = ['before', 'onceBefore', 'onHandler', 'after', 'onceAfter', 'removed'] as const
    const calls = Object.fromEntries(names.map((name) => [name, 0]))
    const counting = (name: (typeof names)[number]) => () => {
      calls[name] = (calls[name] ?? 0) + 1
    }
    tus.on(EVENTS.POST_CREATE, counting('before'))
    tus.once(EVENTS.POST_CREATE, counting('onceBefore'))
    tus.handlers.POST.on(EVENTS.POST_CREATE, counting('onHandler'))
    extendServer(tus, { engine: stage.engine })
    tus.on(EVENTS.POST_CREATE, counting('after'))
    tus.once(EVENTS.POST_CREATE, counting('onceAfter'))
    const removed = counting('removed')
    tus.on(EVENTS.POST_CREATE, removed)
    tus.off(EVENTS.POST_CREATE, removed)
    const create = () =>
      tus.handleWeb(
        new Request('http://a/files', {
          method: 'POST',
          headers: { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5' },
        }),
      )
    await create()
    await create()
    expect(calls).toEqual({ before: 2, onceBefore: 1, onHandler: 2, after: 2, onceAfter: 1, removed: 0 })
  })

  test('that fail change nothing', async () => {
    await open()
    stage.tus.on(EVENTS.POST_CREATE, () => {
      throw new Error('broken')
    })
    stage.tus.on(EVENTS.POST_FINISH, async () => {
      throw new Error('broken')
    })
    const heard = recorder()
    stage.tus.on(EVENTS.POST_CREATE, heard.listener)
    expect((await post({ 'Upload-Length': '0' })).status).toBe(201)
    expect(heard.calls).toHaveLength(1)
  })

  test('tell what arrives while it does', async () => {
    await open({ postReceiveInterval: 0.001 })
    const offsets: number[] = []
    stage.tus.on(EVENTS.POST_RECEIVE, (_: Request, upload: Upload) => {
      offsets.push(upload.offset)
    })
    const url = await create(stage.endpoint, 6)
    const headers = { ...BODY, 'Upload-Offset': '0' }
    const sent = new OpenRequest(url, { method: 'PATCH', headers, length: 6 })
    await sent.write('ab')
    const id = url.split('/').at(-1) ?? ''
    await expect.poll(async () => (await stage.registry.find(id, null))?.upload.offset).toBe(2)
    await sent.write('cd')
    await expect.poll(() => offsets.at(-1)).toBe(4)
    await sent.write('ef')
    expect((await sent.answer).status).toBe(204)
  })
})

describe('extendServer', () => {
  test('says what is missing', async () => {
    await open()
    const server = () => new Server({ path: '/files', datastore: new DataStore() })
    expect(() => extendServer(server())).toThrow(/ParallelStore/)
    expect(() => extendServer(server(), { engine: stage.engine, idleTimeout: 0 })).toThrow(/idleTimeout/)
    const twice = server()
    extendServer(twice, { engine: stage.engine })
    expect(() => extendServer(twice, { engine: stage.engine })).toThrow(/before/)
  })

  test('takes the engine of a datastore that has one', async () => {
    await open()
    const datastore = Object.assign(new DataStore(), { engine: stage.engine })
    const tus = new Server({ path: '/files', datastore })
    extendServer(tus)
    const answer = await tus.handleWeb(new Request('http://a/files', { method: 'OPTIONS' }))
    expect(answer.headers.get('tus-extension')).toContain('concatenation')
  })
})
