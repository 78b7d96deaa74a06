import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { RawClient } from '../support/raw-client.js'
import { head, OpenRequest, send } from '../support/raw-tus.js'
import { TusStage } from '../support/tus-stage.js'

let stage: TusStage
beforeEach(async () => {
  stage = await TusStage.open({ server: { maxSize: 1_000_000_000 } })
})
afterEach(() => stage.close())

const BODY = { 'Content-Type': 'application/offset+octet-stream' }

function post(headers: Readonly<Record<string, string>>, body = '') {
  return send(stage.endpoint, { method: 'POST', headers, body })
}

describe('a creation', () => {
  test('answers 201 with Location and Upload-Expires, and no offset where no body came', async () => {
    const { status, headers, body } = await post({ 'Upload-Length': '5' })
    expect(status).toBe(201)
    expect(headers.location).toMatch(/^http:/)
    expect(headers['upload-offset']).toBeUndefined()
    expect(headers['upload-expires']).toMatch(/ GMT$/)
    expect(body).toBe('')
  })

  test.each([
    ['neither length', {}],
    ['both lengths', { 'Upload-Length': '5', 'Upload-Defer-Length': '1' }],
    ['a deferral of 0', { 'Upload-Defer-Length': '0' }],
    ['a deferral of true', { 'Upload-Defer-Length': 'true' }],
    ['a deferral beside a length', { 'Upload-Length': '5', 'Upload-Defer-Length': '0' }],
    ['a negative length', { 'Upload-Length': '-1' }],
    ['a length with a sign', { 'Upload-Length': '+1' }],
    ['a length with a fraction', { 'Upload-Length': '1.5' }],
    ['a length of letters', { 'Upload-Length': 'ten' }],
    ['an empty length', { 'Upload-Length': '' }],
    ['a length in hex', { 'Upload-Length': '0x10' }],
    ['a length with zeros before it', { 'Upload-Length': '007' }],
    ['two lengths', { 'Upload-Length': '5, 5' }],
    ['an unknown concat', { 'Upload-Length': '5', 'Upload-Concat': 'Partial' }],
    ['an empty concat', { 'Upload-Length': '5', 'Upload-Concat': '' }],
    ['two concats', { 'Upload-Length': '5', 'Upload-Concat': 'partial, partial' }],
  ])('with %s is 400 with a sentence', async (_, headers) => {
    const answer = await post(headers)
    expect(answer.status).toBe(400)
    expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(answer.body).toMatch(/^[A-Z].*\.\n$/)
  })

  test.each(['9007199254740992', '9007199254740993', '1'.repeat(400)])(
    'with the length %s is 413, never rounded',
    async (length) => {
      expect((await post({ 'Upload-Length': length })).status).toBe(413)
    },
  )

  test('longer than the server takes is 413', async () => {
    expect((await post({ 'Upload-Length': '1000000001' })).status).toBe(413)
    expect((await post({ 'Upload-Length': '1000000000' })).status).toBe(201)
  })

  test('with an empty chunked body is a plain creation', async () => {
    const open = new OpenRequest(stage.endpoint, {
      method: 'POST',
      headers: { 'Upload-Length': '5' },
      length: null,
    })
    open.end()
    const { status, headers } = await open.answer
    expect(status).toBe(201)
    expect(headers['upload-offset']).toBeUndefined()
  })
})

describe('metadata', () => {
  test.each([
    'filename d29ybGQudHh0',
    'empty,other YQ==',
    'empty ,other YQ==',
    'binary AP/+gIE=',
    '__proto__ YQ==,constructor YQ==,toString YQ==,hasOwnProperty YQ==',
    'sp@ce!"#$%&/()=?~ YQ==',
    'filename AP8=,name YS50eHQ=',
  ])('%s comes back byte for byte', async (metadata) => {
    const created = await post({ 'Upload-Length': '5', 'Upload-Metadata': metadata })
    expect(created.status).toBe(201)
    expect((await head(created.headers.location as string)).headers['upload-metadata']).toBe(metadata)
  })

  test('that is empty counts as none', async () => {
    const created = await post({ 'Upload-Length': '5', 'Upload-Metadata': '' })
    expect(created.status).toBe(201)
    expect((await head(created.headers.location as string)).headers['upload-metadata']).toBeUndefined()
  })

  test.each([
    'a YQ==,a YQ==',
    'a,a',
    '__proto__ YQ==,__proto__ YQ==',
    ',a YQ==',
    'a YQ==,',
    'a YQ==, YQ==',
    'a YQ=',
    'a YQ',
    'a Y===',
    'a YQ==YQ==',
    'a !!!!',
    'a  YQ==',
    'a YQ== YQ==',
    'a YQ==, b YQ==',
    'kéy YQ==',
    'a YQ==;b YQ==',
    'a YQ==\tb',
  ])('%s is 400', async (metadata) => {
    const client = await RawClient.open(stage.port)
    await client.say(
      Buffer.from(
        'POST /files HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n' +
          `Upload-Metadata: ${metadata}\r\n\r\n`,
        'latin1',
      ),
    )
    await client.closed
    expect(client.received).toMatch(/^HTTP\/1\.1 400 /)
    expect(client.received).toMatch(/Upload-Metadata must be pairs/)
  })

  test('sent in two headers is 400', async () => {
    const client = await RawClient.open(stage.port)
    await client.say(
      'POST /files HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 5\r\n' +
        'Upload-Metadata: a YQ==\r\nUpload-Metadata: b YQ==\r\n\r\n',
    )
    await client.closed
    expect(client.received).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('names the file with filename, else name, if that is text', async () => {
    const name = async (metadata: string) => {
      const created = await post({ 'Upload-Length': '0', 'Upload-Metadata': metadata })
      return (await send(created.headers.location as string)).headers['content-disposition']
    }
    expect(await name('filename YS50eHQ=,name Yi50eHQ=')).toBe('attachment; filename="a.txt"')
    expect(await name('name Yi50eHQ=')).toBe('attachment; filename="b.txt"')
    expect(await name('filename /////w==,name Yi50eHQ=')).toBe('attachment; filename="b.txt"')
    expect(await name('filename YQBi')).toBe('attachment')
  })
})

describe('a creation with a body', () => {
  test.each([5, 2_000_000])('of %d bytes stores them', async (size) => {
    const answer = await post({ ...BODY, 'Upload-Length': String(size) }, 'x'.repeat(size))
    expect(answer.status).toBe(201)
    expect(answer.headers['upload-offset']).toBe(String(size))
    expect(answer.headers['upload-expires']).toBeUndefined()
    expect((await send(answer.headers.location as string)).body).toHaveLength(size)
  })

  test.each([5, 2_000_000])('of %d bytes, more to come, stores these', async (size) => {
    const answer = await post({ ...BODY, 'Upload-Length': String(size + 1) }, 'x'.repeat(size))
    expect(answer.status).toBe(201)
    expect(answer.headers['upload-offset']).toBe(String(size))
    expect(answer.headers['upload-expires']).toBeDefined()
    expect((await head(answer.headers.location as string)).headers['upload-offset']).toBe(String(size))
  })

  test('may be deferred and chunked', async () => {
    const open = new OpenRequest(stage.endpoint, {
      method: 'POST',
      headers: { ...BODY, 'Upload-Defer-Length': '1' },
      length: null,
    })
    await open.write('abc')
    await open.write('def')
    open.end()
    const { status, headers } = await open.answer
    expect(status).toBe(201)
    expect(headers['upload-offset']).toBe('6')
    expect((await head(headers.location as string)).headers).toMatchObject({
      'upload-offset': '6',
      'upload-defer-length': '1',
    })
  })

  test.each(['text/plain', 'application/json', 'application/x-www-form-urlencoded'])(
    'of the type %s is 415',
    async (type) => {
      expect((await post({ 'Upload-Length': '5', 'Content-Type': type }, 'abc')).status).toBe(415)
    },
  )

  test('chunked and without a type is 415', async () => {
    const open = new OpenRequest(stage.endpoint, {
      method: 'POST',
      headers: { 'Upload-Length': '5' },
      length: null,
    })
    await open.write('abc')
    open.end()
    expect((await open.answer).status).toBe(415)
  })

  test('of no bytes creates, whatever its type', async () => {
    for (const type of ['text/plain', 'application/offset+octet-stream']) {
      expect((await post({ 'Upload-Length': '5', 'Content-Type': type })).status).toBe(201)
    }
  })

  test('longer than the upload is 413, announced or not', async () => {
    expect((await post({ ...BODY, 'Upload-Length': '3' }, 'abcd')).status).toBe(413)
    const open = new OpenRequest(stage.endpoint, {
      method: 'POST',
      headers: { ...BODY, 'Upload-Length': '3' },
      length: null,
    })
    await open.write('abcd')
    open.end()
    expect((await open.answer).status).toBe(413)
  })

  test('longer than the server takes is 413 for a deferred length too', async () => {
    await stage.close()
    stage = await TusStage.open({ server: { maxSize: () => 4 } })
    const headers = { ...BODY, 'Upload-Defer-Length': '1' }
    expect((await post(headers, 'abcd')).status).toBe(201)
    expect((await post(headers, 'abcde')).status).toBe(413)
    const open = new OpenRequest(stage.endpoint, { method: 'POST', headers, length: null })
    await open.write('abcde')
    open.end()
    expect((await open.answer).status).toBe(413)
  })
})
