import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RawClient } from '../support/raw-client.js'
import { concatenate, create, createPart, head, OpenRequest, patch, send } from '../support/raw-tus.js'
import { TusStage } from '../support/tus-stage.js'

let stage: TusStage
beforeEach(async () => {
  stage = await TusStage.open()
})
afterEach(() => stage.close())

async function part(text: string): Promise<string> {
  const url = await createPart(stage.endpoint, text.length)
  if (text.length > 0) await patch(url, 0, Buffer.from(text))
  return url
}

function final(value: string, headers: Readonly<Record<string, string>> = {}) {
  return send(stage.endpoint, { method: 'POST', headers: { 'Upload-Concat': `final;${value}`, ...headers } })
}

function idOf(url: string): string {
  return url.split('/').at(-1) ?? ''
}

describe('a final', () => {
  test('is made of its parts in their order, and says which they were', async () => {
    const [a, b, empty] = [await part('Hello, '), await part('world'), await part('')]
    expect((await head(a)).headers['upload-concat']).toBe('partial')
    const url = await concatenate(stage.endpoint, [a, empty, b], { 'Upload-Metadata': 'filename YS50eHQ=' })
    const looked = await head(url)
    expect(looked.headers).toMatchObject({
      'upload-concat': `final;${a} ${empty} ${b}`,
      'upload-length': '12',
      'upload-offset': '12',
      'upload-metadata': 'filename YS50eHQ=',
    })
    expect(looked.headers['upload-expires']).toBeUndefined()
    expect((await send(url)).body).toBe('Hello, world')
    expect((await head(a)).headers['upload-offset']).toBe('7')
  })

  test('may name the same part twice, and a part serves two finals', async () => {
    const a = await part('ab')
    const twice = await concatenate(stage.endpoint, [a, a])
    const once = await concatenate(stage.endpoint, [a])
    expect((await send(twice)).body).toBe('abab')
    expect((await send(once)).body).toBe('ab')
    expect((await send(a, { method: 'DELETE' })).status).toBe(204)
    expect((await send(twice)).body).toBe('abab')
  })

  test('sent again has the same address, also when its parts are gone', async () => {
    const parts = [await part('a'), await part('b')]
    const url = await concatenate(stage.endpoint, parts)
    expect(await concatenate(stage.endpoint, parts)).toBe(url)
    for (const each of parts) await send(each, { method: 'DELETE' })
    expect(await concatenate(stage.endpoint, parts)).toBe(url)
    expect((await final(parts.join(' '), { 'Upload-Metadata': 'other' })).status).toBe(404)
  })

  test('over unfinished parts has no offset until they are done', async () => {
    const done = await part('abc')
    const open = await createPart(stage.endpoint, 3)
    const url = await concatenate(stage.endpoint, [done, open])
    const before = await head(url)
    expect(before.status).toBe(200)
    expect(before.headers['upload-offset']).toBeUndefined()
    expect(before.headers['upload-length']).toBe('6')
    expect((await send(url)).status).toBe(404)
    await patch(open, 0, Buffer.from('def'))
    expect((await head(url)).headers['upload-offset']).toBe('6')
    expect((await send(url)).body).toBe('abcdef')
  })

  test('over a part of unknown length has neither offset nor length', async () => {
    const open = await send(stage.endpoint, {
      method: 'POST',
      headers: { 'Upload-Defer-Length': '1', 'Upload-Concat': 'partial' },
    })
    const { headers } = await head(await concatenate(stage.endpoint, [open.headers.location as string]))
    expect(headers['upload-length']).toBeUndefined()
    expect(headers['upload-defer-length']).toBeUndefined()
    expect(headers['upload-offset']).toBeUndefined()
  })

  test('whose part was deleted before it was done is gone', async () => {
    const open = await createPart(stage.endpoint, 3)
    const url = await concatenate(stage.endpoint, [open])
    await send(open, { method: 'DELETE' })
    expect((await head(url)).status).toBe(410)
  })

  test('takes no bytes: PATCH is 403', async () => {
    const url = await concatenate(stage.endpoint, [await part('abc')])
    expect((await patch(url, 3, Buffer.from('d'))).status).toBe(403)
    const waiting = await concatenate(stage.endpoint, [await createPart(stage.endpoint, 3)])
    expect((await patch(waiting, 0, Buffer.from('d'))).status).toBe(403)
  })

  test('has no length, no checksum and no body of its own', async () => {
    const a = await part('abc')
    expect((await final(a, { 'Upload-Length': '3' })).status).toBe(400)
    expect((await final(a, { 'Upload-Defer-Length': '1' })).status).toBe(400)
    expect((await final(a, { 'Upload-Checksum': 'md5 1B2M2Y8AsgTpgAmY7PhCfg==' })).status).toBe(400)
    const headers = { 'Upload-Concat': `final;${a}`, 'Content-Type': 'application/offset+octet-stream' }
    expect((await send(stage.endpoint, { method: 'POST', headers, body: 'x' })).status).toBe(403)
    const chunked = new OpenRequest(stage.endpoint, { method: 'POST', headers, length: null })
    await chunked.write('x')
    chunked.end()
    expect((await chunked.answer).status).toBe(403)
  })

  test('of 600 parts with long addresses is made, and HEAD names them all', async () => {
    const names = Array(600)
      .fill(`${await part('ab')}?${'x'.repeat(100)}`)
      .join(' ')
    const url = new URL((await final(names)).headers.location as string)
    const client = await RawClient.open(stage.port)
    await client.say(
      `HEAD ${url.pathname} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nConnection: close\r\n\r\n`,
    )
    await client.closed
    expect(client.received).toContain('\r\nUpload-Length: 1200\r\n')
    expect(client.received).toContain(`\r\nUpload-Concat: final;${names}\r\n`)
  })

  test('longer than the server takes is 413', async () => {
    await stage.close()
    stage = await TusStage.open({ server: { maxSize: 5 } })
    const a = await part('abc')
    expect((await final(`${a} ${a}`)).status).toBe(413)
  })
})

describe('the list of parts', () => {
  test('takes absolute and relative addresses, whatever host and query, and bare ids', async () => {
    const a = idOf(await part('ab'))
    for (const name of [
      `${stage.endpoint}/${a}`,
      `/files/${a}`,
      `/files/${a}/`,
      `https://elsewhere.example:444/files/${a}?x=/y#z`,
      `HTTP://[::1]/files/${a}`,
      `/behind/a/proxy/files/${a}`,
      `/%66iles/${a}`,
      a,
    ]) {
      const answer = await final(name)
      expect([name, answer.status]).toEqual([name, 201])
      const again = await final(` ${name}`)
      expect(again.headers.location).toBe(answer.headers.location)
    }
  })

  test('keeps each address as it came', async () => {
    const a = idOf(await part('ab'))
    const names = `/files/${a} http://x/files/${a}?y ${a}`
    const answer = await final(names)
    expect((await head(answer.headers.location as string)).headers['upload-concat']).toBe(`final;${names}`)
  })

  test.each([
    '/other/ID',
    '/files/../files/ID',
    '/files/./ID',
    '/files//ID',
    '//host/files/ID',
    '/files/%2e%2e/files/ID',
    '/files/x%2fID',
    '/files/..%5cID',
    '/files/ID%00',
    '/files/%E0%A4%A',
    'files/ID',
    '../files/ID',
    'ftp://host/files/ID',
    'http:/files/ID',
    'http:///files/ID',
    'http://host',
    'javascript:ID',
    '/files/ID,/files/ID',
    '/files/not-an-id',
    '/files/',
    '/',
    '/files/../../../etc/passwd',
  ])('with %s is 400 and says which entry', async (entry) => {
    const a = await part('ab')
    const answer = await final(`${a} ${entry.replaceAll('ID', idOf(a))}`)
    expect(answer.status).toBe(400)
    expect(answer.body).toContain('entry 2')
  })

  test.each(['', ' ', '   '])('that is empty ("%s") is 400', async (list) => {
    expect((await final(list)).status).toBe(400)
  })

  test('longer than 10,000 is 400', async () => {
    const a = idOf(await part('ab'))
    expect((await final(Array(10_001).fill(a).join(' '))).status).toBe(400)
  })

  test('names only parts that are there', async () => {
    const a = await part('ab')
    expect((await final(`${a} /files/${randomUUID()}`)).status).toBe(404)
    expect((await final(await create(stage.endpoint, 0))).status).toBe(400)
    expect((await final(await concatenate(stage.endpoint, [a]))).status).toBe(400)
    const late = await createPart(stage.endpoint, 3)
    stage.db.makeDue(idOf(late))
    expect((await final(late)).status).toBe(410)
  })
})
