import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RawClient } from '../support/raw-client.js'
import { create, head, openPatch, patch, send } from '../support/raw-tus.js'
import { TusStage } from '../support/tus-stage.js'

let stage: TusStage
beforeEach(async () => {
  stage = await TusStage.open()
})
afterEach(() => stage.close())

const OFFSET_TYPE = 'application/offset+octet-stream'

describe('an upload', () => {
  test('is created, written in pieces, and answers HEAD in between', async () => {
    const upload = await create(stage.endpoint, 11, { 'Upload-Metadata': 'filename YS50eHQ=' })
    expect(upload).toMatch(
      /^http:\/\/127\.0\.0\.1:\d+\/files\/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    )
    const first = await patch(upload, 0, Buffer.from('hello '))
    expect(first.status).toBe(204)
    expect(first.headers['upload-offset']).toBe('6')
    expect(first.headers['tus-resumable']).toBe('1.0.0')
    expect(Date.parse(first.headers['upload-expires'] as string)).toBeGreaterThan(Date.now())
    const between = await head(upload)
    expect(between.status).toBe(200)
    expect(between.headers).toMatchObject({
      'upload-offset': '6',
      'upload-length': '11',
      'upload-metadata': 'filename YS50eHQ=',
      'cache-control': 'no-store',
      'tus-resumable': '1.0.0',
    })
    expect(between.headers['upload-expires']).toBeDefined()
    expect(between.headers['upload-concat']).toBeUndefined()
    const last = await patch(upload, 6, Buffer.from('world'))
    expect(last.status).toBe(204)
    expect(last.headers['upload-offset']).toBe('11')
    expect(last.headers['upload-expires']).toBeUndefined()
    const got = await send(upload)
    expect(got.status).toBe(200)
    expect(got.body).toBe('hello world')
  })

  test('answers an empty PATCH at its end with 204', async () => {
    const upload = await create(stage.endpoint, 3)
    await patch(upload, 0, Buffer.from('abc'))
    const again = await patch(upload, 3, Buffer.alloc(0))
    expect(again.status).toBe(204)
    expect(again.headers['upload-offset']).toBe('3')
  })

  test('refuses more at its end, chunked too, and answers before it hangs up', async () => {
    const upload = await create(stage.endpoint, 3)
    await patch(upload, 0, Buffer.from('abc'))
    expect((await patch(upload, 3, Buffer.from('d'))).status).toBe(413)
    const sent = openPatch(upload, 3, null)
    await sent.write('d')
    sent.end()
    expect((await sent.answer).status).toBe(413)
    const empty = openPatch(upload, 3, null)
    empty.end()
    expect((await empty.answer).status).toBe(204)
  })

  test('reads on when it has refused more at its end, so that who still sends hears of it', async () => {
    const upload = await create(stage.endpoint, 3)
    await patch(upload, 0, Buffer.from('abc'))
    const client = await RawClient.open(stage.port)
    await client.say(
      `PATCH ${new URL(upload).pathname} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 3\r\n` +
        `Content-Type: ${OFFSET_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    )
    const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(64 * 1024), Buffer.from('\r\n')])
    for (let count = 0; count < 400; count++) await client.say(chunk)
    await client.say('0\r\n\r\n')
    expect(await client.status()).toBe(413)
    await client.closed
    expect(client.error).toBe(null)
  })

  test('refuses a wrong offset with 409 and names the right one', async () => {
    const upload = await create(stage.endpoint, 6)
    await patch(upload, 0, Buffer.from('abc'))
    for (const offset of [0, 2, 4]) {
      const answer = await patch(upload, offset, Buffer.from('x'))
      expect(answer.status).toBe(409)
      expect(answer.headers['upload-offset']).toBe('3')
      expect(answer.body).toMatch(/offset/)
    }
  })

  test('refuses a PATCH inside a finished upload with 409', async () => {
    const upload = await create(stage.endpoint, 3)
    await patch(upload, 0, Buffer.from('abc'))
    expect((await patch(upload, 0, Buffer.from('abc'))).status).toBe(409)
  })

  test('refuses more bytes than its length, and keeps nothing of them', async () => {
    const upload = await create(stage.endpoint, 3)
    expect((await patch(upload, 0, Buffer.from('abcd'))).status).toBe(413)
    expect((await head(upload)).headers['upload-offset']).toBe('0')
  })

  test('that is 0 bytes long is complete at once', async () => {
    const upload = await create(stage.endpoint, 0)
    expect((await head(upload)).headers).toMatchObject({ 'upload-offset': '0', 'upload-length': '0' })
    expect((await send(upload)).status).toBe(200)
  })

  test('ignores a query and one slash after its id', async () => {
    const upload = await create(stage.endpoint, 3)
    expect((await head(`${upload}?token=a/b`)).status).toBe(200)
    expect((await head(`${upload}/`)).status).toBe(200)
    expect((await patch(`${upload}/?x`, 0, Buffer.from('abc'))).status).toBe(204)
    expect((await head(`${upload}//`)).status).toBe(404)
  })

  test('that expired is gone, a finished one never', async () => {
    const unfinished = await create(stage.endpoint, 3)
    const finished = await create(stage.endpoint, 3)
    await patch(finished, 0, Buffer.from('abc'))
    for (const upload of [unfinished, finished]) stage.db.makeDue(upload.split('/').at(-1) ?? '')
    expect((await head(unfinished)).status).toBe(410)
    expect((await patch(unfinished, 0, Buffer.from('abc'))).status).toBe(410)
    expect((await send(unfinished)).status).toBe(410)
  })

  test('that nobody knows is 404, in whatever form', async () => {
    const strange = [
      randomUUID(),
      randomUUID().toUpperCase(),
      'a'.repeat(32),
      '%E0%A4%A',
      '..%2f..%2fetc%2fpasswd',
      '%00',
      'files',
      '00000000-0000-1000-8000-000000000000',
    ]
    const bodies = new Set<string>()
    for (const id of strange) {
      const url = `${stage.endpoint}/${id}`
      expect((await head(url)).status).toBe(404)
      const patched = await patch(url, 0, Buffer.from('abc'))
      const deleted = await send(url, { method: 'DELETE' })
      const got = await send(url)
      expect([patched.status, deleted.status, got.status]).toEqual([404, 404, 404])
      for (const { body } of [patched, deleted, got]) bodies.add(body)
    }
    expect(bodies.size).toBe(1)
  })
})

describe('the protocol version', () => {
  test.each([undefined, '0.2.2', '1.0.1', '1.0.0, 1.0.0', 'x'])('%s is answered 412', async (version) => {
    for (const method of ['POST', 'HEAD', 'PATCH', 'DELETE']) {
      const client = await RawClient.open(stage.port)
      const line = version === undefined ? '' : `Tus-Resumable: ${version}\r\n`
      await client.say(`${method} /files/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${line}\r\n`)
      await client.closed
      expect(client.received).toMatch(/^HTTP\/1\.1 412 /)
      expect(client.received).toMatch(/\r\nTus-Version: 1\.0\.0\r\n/)
      expect(client.received).toMatch(/\r\nTus-Resumable: 1\.0\.0\r\n/)
    }
  })

  test('is not asked of OPTIONS and GET', async () => {
    const upload = await create(stage.endpoint, 0)
    for (const [method, url] of [
      ['OPTIONS', stage.endpoint],
      ['GET', upload],
    ] as const) {
      const answer = await fetch(url, { method })
      expect(answer.ok).toBe(true)
      await answer.text()
    }
  })
})

describe('methods', () => {
  test('can be overridden, and the real one is ignored then', async () => {
    const upload = await create(stage.endpoint, 3)
    const override = { 'X-HTTP-Method-Override': 'PATCH', 'Upload-Offset': '0', 'Content-Type': OFFSET_TYPE }
    const patched = await send(upload, { method: 'POST', headers: override, body: 'abc' })
    expect(patched.status).toBe(204)
    const looked = await send(upload, { method: 'POST', headers: { 'X-HTTP-Method-Override': 'HEAD' } })
    expect(looked.status).toBe(200)
    expect(looked.headers['upload-offset']).toBe('3')
    const removed = await send(upload, { method: 'GET', headers: { 'X-HTTP-Method-Override': 'DELETE' } })
    expect(removed.status).toBe(204)
    expect((await head(upload)).status).toBe(404)
  })

  test.each(['patch', 'BREW', 'PATCH, PATCH', '__proto__', 'constructor'])(
    'overridden by %s are 405',
    async (name) => {
      const answer = await send(stage.endpoint, {
        method: 'POST',
        headers: { 'X-HTTP-Method-Override': name },
      })
      expect(answer.status).toBe(405)
      expect(answer.headers.allow).toBe('GET, HEAD, POST, PATCH, DELETE, OPTIONS')
    },
  )

  test('unknown to tus are 405', async () => {
    for (const method of ['PUT', 'TRACE', 'PROPFIND']) {
      expect((await send(stage.endpoint, { method })).status).toBe(405)
    }
  })
})

describe('a PATCH', () => {
  test.each([undefined, 'application/octet-stream', 'text/plain', 'application/offset'])(
    'of the type %s is 415',
    async (type) => {
      const upload = await create(stage.endpoint, 3)
      const headers = { 'Upload-Offset': '0', ...(type && { 'Content-Type': type }) }
      const answer = await send(upload, { method: 'PATCH', headers, body: 'abc' })
      expect(answer.status).toBe(415)
      expect(answer.body).toContain(OFFSET_TYPE)
      expect((await head(upload)).headers['upload-offset']).toBe('0')
    },
  )

  test.each(['', '-1', '+1', '1.0', '1e3', '0x10', '00', '01', ' ', 'NaN', 'Infinity', '0, 0', '0;', '१'])(
    'with the offset "%s" is 400',
    async (offset) => {
      const upload = await create(stage.endpoint, 3)
      const client = await RawClient.open(stage.port)
      await client.say(
        `PATCH ${new URL(upload).pathname} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\n` +
          `Content-Type: ${OFFSET_TYPE}\r\nUpload-Offset: ${offset}\r\nContent-Length: 1\r\n\r\na`,
      )
      await client.closed
      expect(client.received).toMatch(/^HTTP\/1\.1 400 /)
      expect(client.received).toMatch(/Upload-Offset/)
    },
  )

  test('without an offset is 400', async () => {
    const upload = await create(stage.endpoint, 3)
    const answer = await send(upload, {
      method: 'PATCH',
      headers: { 'Content-Type': OFFSET_TYPE },
      body: 'a',
    })
    expect(answer.status).toBe(400)
  })

  test.each(['9007199254740992', '9007199254740993', '99999999999999999999'])(
    'with the offset %s is refused without rounding',
    async (offset) => {
      const upload = await create(stage.endpoint, 3)
      const headers = { 'Upload-Offset': offset, 'Content-Type': OFFSET_TYPE }
      expect((await send(upload, { method: 'PATCH', headers, body: 'a' })).status).toBe(413)
    },
  )

  test('with repeated headers is 400', async () => {
    const upload = await create(stage.endpoint, 3)
    const client = await RawClient.open(stage.port)
    await client.say(
      `PATCH ${new URL(upload).pathname} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\n` +
        `Content-Type: ${OFFSET_TYPE}\r\nUpload-Offset: 0\r\nUpload-Offset: 0\r\nContent-Length: 1\r\n\r\na`,
    )
    await client.closed
    expect(client.received).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('may come chunked', async () => {
    const upload = await create(stage.endpoint, 6)
    const client = await RawClient.open(stage.port)
    await client.say(
      `PATCH ${new URL(upload).pathname} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\n` +
        `Content-Type: ${OFFSET_TYPE}\r\nUpload-Offset: 0\r\nTransfer-Encoding: chunked\r\n\r\n` +
        '3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n',
    )
    await client.closed
    expect(client.received).toMatch(/^HTTP\/1\.1 204 No Content\r\n/)
    expect(client.received).toMatch(/\r\nUpload-Offset: 6\r\n/)
    expect(client.received).not.toMatch(/\r\ncontent-length:/i)
  })

  test('of an upload created without a length declares it', async () => {
    const upload = await send(stage.endpoint, { method: 'POST', headers: { 'Upload-Defer-Length': '1' } })
    const url = upload.headers.location as string
    expect((await head(url)).headers).toMatchObject({ 'upload-defer-length': '1', 'upload-offset': '0' })
    await patch(url, 0, Buffer.from('abc'))
    const headers = { 'Upload-Offset': '3', 'Upload-Length': '5', 'Content-Type': OFFSET_TYPE }
    expect((await send(url, { method: 'PATCH', headers, body: 'de' })).status).toBe(204)
    const looked = await head(url)
    expect(looked.headers).toMatchObject({ 'upload-length': '5', 'upload-offset': '5' })
    expect(looked.headers['upload-defer-length']).toBeUndefined()
    const other = { 'Upload-Offset': '5', 'Upload-Length': '7', 'Content-Type': OFFSET_TYPE }
    expect((await send(url, { method: 'PATCH', headers: other })).status).toBe(400)
  })

  test('that declares less than there is, or what another request declared otherwise, is 400', async () => {
    const upload = await send(stage.endpoint, { method: 'POST', headers: { 'Upload-Defer-Length': '1' } })
    const url = upload.headers.location as string
    await patch(url, 0, Buffer.from('abc'))
    for (const [length, status] of [
      ['2', 400],
      ['x', 400],
      ['9007199254740993', 413],
    ] as const) {
      const headers = { 'Upload-Offset': '3', 'Upload-Length': length, 'Content-Type': OFFSET_TYPE }
      expect((await send(url, { method: 'PATCH', headers })).status).toBe(status)
    }
    const known = await create(stage.endpoint, 5)
    const headers = { 'Upload-Offset': '0', 'Upload-Length': '6', 'Content-Type': OFFSET_TYPE }
    expect((await send(known, { method: 'PATCH', headers })).status).toBe(400)
  })
})
