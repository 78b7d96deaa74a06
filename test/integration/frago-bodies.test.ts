import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  BOUNDARY,
  CLOSING,
  type FragoClient,
  filePart,
  type JsonAnswer,
  MULTIPART,
  multipart,
  type Part,
  toJson,
} from '../support/frago-client.js'
import { type FragoServer, FragoStage } from '../support/frago-stage.js'
import { leavers, STRANGERS } from '../support/hostile-clients.js'
import { RawClient } from '../support/raw-client.js'
import { OpenRequest } from '../support/raw-tus.js'
import { seededBytes, seededRandom } from '../support/seeded.js'
import { sharedDatabase, startTributary } from '../support/tributary.js'

const KIB = 1024
const UNKNOWN = '00000000-0000-4000-8000-000000000000'
const FORM = 'application/x-www-form-urlencoded'
const JSON_TYPE = 'application/json'

let stage: FragoStage
let server: FragoServer
let client: FragoClient

beforeAll(async () => {
  stage = await FragoStage.open()
  server = await stage.serve({ app: { idleTimeout: 2_000 } })
  client = server.client()
})

afterAll(async () => {
  await stage.close()
})

const REQUIRED = { status: false, message: 'filename and total_size required' }
const refusedBy = (message: unknown) => ({ status: false, message })
const detail = (words: unknown) => ({ detail: words })

/** Texts with names for them that fit into a line. */
function named(texts: readonly string[]): [string, string][] {
  return texts.map((text) => {
    const name = JSON.stringify(text)
    return [name.length > 70 ? `${name.slice(0, 50)}…, ${text.length} characters` : name, text]
  })
}

/** A POST of the collection. */
function post(body: Uint8Array | string, type: string | null): Promise<JsonAnswer> {
  return client.request('POST', client.base, body, type === null ? {} : { 'Content-Type': type })
}

/** A start, as JSON with these texts in the places of the values. */
function startJson(filename: string, size: string): Promise<JsonAnswer> {
  return post(`{"filename":${filename},"total_size":${size}}`, JSON_TYPE)
}

function startForm(filename: string, size: string): Promise<JsonAnswer> {
  return post(new URLSearchParams({ filename, total_size: size }).toString(), FORM)
}

function startMultipart(fields: Readonly<Record<string, string | Buffer>>): Promise<JsonAnswer> {
  const parts = Object.entries(fields).map(([name, content]): Part => ({ name, content }))
  return post(multipart(parts), MULTIPART)
}

/** The filename and size of the upload an answer is about. */
async function startedAs({ status, body, json }: JsonAnswer): Promise<readonly [string, number]> {
  if (status !== 201) throw new Error(`${status} ${body}`)
  const { filename, total_size } = (await client.detail(json.upload_id)).json
  expect(json.message).toBe(`Upload started for ${filename}`)
  return [filename, total_size]
}

describe('total_size', () => {
  const LARGEST = 9007199254740991

  test.each<[string, number]>([
    ['5', 5],
    ['"5"', 5],
    ['"0"', 0],
    ['"00"', 0],
    ['"007"', 7],
    ['10.0', 10],
    ['1e1', 10],
    ['"00000000000000000000000000000000000000005"', 5],
    [String(LARGEST), LARGEST],
    [`"${LARGEST}"`, LARGEST],
  ])('%s is %i', async (text, size) => {
    expect(await startedAs(await startJson('"a"', text))).toEqual(['a', size])
  })

  test.each(
    named([
      String(LARGEST + 1),
      `"${LARGEST + 1}"`,
      `${LARGEST + 1}.0`,
      '9007199254740993',
      '"9007199254740993"',
      '9223372036854775807',
      '"9223372036854775808"',
      '1e400',
      '-1e400',
      '1e16',
      '12.5',
      '0.5',
      '"12.5"',
      '"5.0"',
      '"1e1"',
      '"0x10"',
      '-1',
      '"-1"',
      '"-0"',
      '"+5"',
      '" "',
      '" 5"',
      '"5 "',
      '"5\\n"',
      '"5\\u0000"',
      '"1_000"',
      '"\\u0665"',
      '"\\uff15"',
      '"five"',
      '"NaN"',
      '"null"',
      'true',
      '[5]',
      '{"a":1}',
      '9'.repeat(5_000),
      `"${'9'.repeat(5_000)}"`,
    ]),
  )('cannot be %s', async (_name, text) => {
    const answer = await startJson('"a"', text)
    expect([answer.status, answer.json]).toEqual([
      400,
      refusedBy(expect.stringMatching(/^total_size must be/)),
    ])
  })

  test.each(['0', '-0', '0.0', '0e5', 'false', 'null', '""', '[]', '{}'])(
    'counts as not given when it is %s, and so does such a filename',
    async (text) => {
      for (const answer of [await startJson('"a"', text), await startJson(text, '5')]) {
        expect([answer.status, answer.json]).toEqual([400, REQUIRED])
      }
    },
  )

  test('is digits in forms, of which "0" is a number', async () => {
    for (const [text, size] of [
      ['5', 5],
      ['0', 0],
      ['007', 7],
      [String(LARGEST), LARGEST],
    ] as const) {
      expect(await startedAs(await startForm('a', text))).toEqual(['a', size])
      expect(await startedAs(await startMultipart({ filename: 'a', total_size: text }))).toEqual(['a', size])
    }
    for (const text of ['null', 'true', '5.0', '1e1', '+5', ' 5', '5\r\n', String(LARGEST + 1)]) {
      expect((await startForm('a', text)).json).toEqual(refusedBy(expect.stringContaining('total_size')))
      const parts = { filename: 'a', total_size: text }
      expect((await startMultipart(parts)).json).toEqual(refusedBy(expect.stringContaining('total_size')))
    }
  })
})

describe('a filename', () => {
  test.each(
    named([
      'a',
      ' ',
      '-rf',
      '.hidden',
      '...',
      '.tributary',
      'same.tar.gz',
      'Ünï→😀.bin',
      'e\u0301',
      '日本語.txt',
      '\u2028\u2029',
      'a\\b',
      `<b>&'"; %41+`,
      'a\u00a0\ufeff',
      'CON',
      'a'.repeat(255),
      'é'.repeat(127),
      '😀'.repeat(63),
    ]),
  )('may be %s, in every kind of body', async (_name, name) => {
    expect(await startedAs(await startJson(JSON.stringify(name), '5'))).toEqual([name, 5])
    expect(await startedAs(await startForm(name, '5'))).toEqual([name, 5])
    expect(await startedAs(await startMultipart({ filename: name, total_size: '5' }))).toEqual([name, 5])
  })

  test.each(
    named([
      '.',
      '..',
      'a/b',
      '/x',
      '../x',
      '/',
      '\0',
      'a\0b',
      'a\nb',
      'a\tb',
      '\r',
      '\u007f',
      '\u0085',
      '.tributary-x',
      '.TRIBUTARY-x',
      '.tributary-',
      'a'.repeat(256),
      'é'.repeat(128),
      '😀'.repeat(64),
    ]),
  )('cannot be %s, in any kind of body', async (_name, name) => {
    const answers = [
      await startJson(JSON.stringify(name), '5'),
      await startForm(name, '5'),
      await startMultipart({ filename: name, total_size: '5' }),
    ]
    for (const { status, json } of answers) {
      expect([status, json]).toEqual([400, refusedBy(expect.stringMatching(/^The filename must/))])
    }
  })

  test.each(['"\\ud800"', '"a\\udc00b"', '"\\ude00\\ud83d"'])(
    'cannot be half a character: %s',
    async (text) => {
      const answer = await startJson(text, '5')
      expect([answer.status, answer.json]).toEqual([400, refusedBy('The filename must be valid Unicode.')])
    },
  )

  test.each(['1', '1.5', 'true', '["a"]', '{"a":1}'])('cannot be %s, which is no text', async (text) => {
    const answer = await startJson(text, '5')
    expect([answer.status, answer.json]).toEqual([400, refusedBy(expect.stringContaining('filename'))])
  })
})

describe('fields', () => {
  test.each<[string, string]>([
    ['{"filename":"x","total_size":9,"filename":"a","total_size":5}', JSON_TYPE],
    ['{"\\u0066ilename":"a","total_size":5,"other":{"filename":"x"}}', JSON_TYPE],
    [' \r\n\t{"filename":"a","total_size":5}\n', JSON_TYPE],
    ['{"__proto__":{"filename":"x"},"filename":"a","total_size":5}', JSON_TYPE],
    ['filename=x&total_size=9&filename=a&total_size=5', FORM],
    ['&&filename=a&&total_size=5&', FORM],
    ['=x&filename=a&total_size=5&a=b=c', FORM],
    ['file%6eame=%61&total%5Fsize=5', FORM],
  ])('of %s are found, the last of a name counts', async (body, type) => {
    expect(await startedAs(await post(body, type))).toEqual(['a', 5])
  })

  test('given twice in a multipart body count once, the last', async () => {
    const parts: readonly Part[] = [
      { name: 'filename', content: 'x' },
      { name: 'total_size', content: '9' },
      { name: 'filename', content: 'a' },
      { name: 'total_size', content: '5' },
    ]
    expect(await startedAs(await post(multipart(parts), MULTIPART))).toEqual(['a', 5])
    const last = [...parts, { name: 'filename', content: '' }]
    expect((await post(multipart(last), MULTIPART)).json).toEqual(REQUIRED)
    // The last text counts without its closing line, as far as it came.
    expect(await startedAs(await post(multipart(parts, ''), MULTIPART))).toEqual(['a', 5])
  })

  test.each<[string, string]>([
    ['{}', JSON_TYPE],
    ['{"Filename":"a","total_size":5}', JSON_TYPE],
    ['{"__proto__":{"filename":"a","total_size":5}}', JSON_TYPE],
    ['{"filename":"a","total_size":5,"total_size":null}', JSON_TYPE],
    ['filename=a;total_size=5', FORM],
    ['filename=a&filename=&total_size=5', FORM],
    ['filename=a&total_size', FORM],
    ['FILENAME=a&total_size=5', FORM],
    ['?filename=a&total_size=5', FORM],
    ['{"filename":"a","total_size":5}', FORM],
    ['hello', FORM],
    ['%', FORM],
    ['&', FORM],
    ['=', FORM],
  ])('of %s are not', async (body, type) => {
    const answer = await post(body, type)
    expect([answer.status, answer.json]).toEqual([400, REQUIRED])
  })

  test('are never taken from the query', async () => {
    const answer = await client.json('POST', `${client.base}?filename=a&total_size=5`, {})
    expect([answer.status, answer.json]).toEqual([400, REQUIRED])
  })

  test('that are files where text is expected are given, but no good', async () => {
    const parts: readonly Part[] = [
      { name: 'filename', filename: 'x.bin', content: 'abc' },
      { name: 'total_size', content: '5' },
    ]
    expect((await post(multipart(parts), MULTIPART)).json).toEqual({
      status: false,
      message: 'filename must be a text',
    })
  })

  test('broken escapes stay as they are', async () => {
    expect(await startedAs(await post('filename=100%25%zz%4+%&total_size=5', FORM))).toEqual([
      '100%%zz%4 %',
      5,
    ])
  })
})

describe('the encoding of a body', () => {
  const JSON_TEXT = '{"filename":"é","total_size":5}'

  test.each<[string, Buffer]>([
    ['application/json', Buffer.from(JSON_TEXT)],
    ['Application/JSON;version=1', Buffer.from(JSON_TEXT)],
    ['application/json; charset="utf-8"', Buffer.from(JSON_TEXT)],
    ['application/json ; charset=nonsense', Buffer.from(JSON_TEXT)],
    ['application/json; charset=', Buffer.from(JSON_TEXT)],
    ['application/json; charset=latin-1', Buffer.from(JSON_TEXT)],
    ['application/json; charset=ISO-8859-1', Buffer.from(JSON_TEXT, 'latin1')],
    ['application/json; charset=utf-16le', Buffer.from(JSON_TEXT, 'utf16le')],
    ['application/json; charset=utf-16', Buffer.from(`\ufeff${JSON_TEXT}`, 'utf16le')],
    [FORM, Buffer.from('filename=%C3%A9&total_size=5')],
    [FORM, Buffer.from('filename=é&total_size=5')],
    [`${FORM}; charset=iso-8859-1`, Buffer.from('filename=%E9&total_size=5')],
    [`${FORM}; charset=iso-8859-1`, Buffer.from('filename=é&total_size=5', 'latin1')],
    [MULTIPART, formOf('é', 'utf8')],
    [`multipart/form-data; charset=iso-8859-1; boundary=${BOUNDARY}`, formOf('é', 'latin1')],
    [`${MULTIPART}; charset=nonsense`, formOf('é', 'utf8')],
  ])('is that of %s', async (type, body) => {
    const expected = type.endsWith('latin-1') ? ['é', 'Ã©'] : ['é']
    const [name] = await startedAs(await post(body, type))
    expect(expected).toContain(name)
  })

  test('that is broken is refused in JSON, and replaced elsewhere', async () => {
    const invalid = Buffer.from('{"filename":"\xe9","total_size":5}', 'latin1')
    const surrogate = Buffer.from('{"filename":"\xed\xa0\x80","total_size":5}', 'latin1')
    for (const body of [
      invalid,
      surrogate,
      Buffer.from(`\ufeff${JSON_TEXT}`),
      Buffer.from(JSON_TEXT, 'utf16le'),
    ]) {
      const answer = await post(body, JSON_TYPE)
      expect([answer.status, answer.json]).toEqual([
        400,
        detail(expect.stringMatching(/^JSON parse error - ./)),
      ])
    }
    expect(await startedAs(await post('filename=%E9&total_size=5', FORM))).toEqual(['\ufffd', 5])
    expect(await startedAs(await post(formOf('é', 'latin1'), MULTIPART))).toEqual(['\ufffd', 5])
  })

  function formOf(name: string, encoding: BufferEncoding): Buffer {
    return multipart([
      { name: 'filename', content: Buffer.from(name, encoding) },
      { name: 'total_size', content: '5' },
    ])
  }
})

describe('a body that cannot be read', () => {
  test.each(
    named([
      '{',
      '{"filename":"a","total_size":5,}',
      '{"filename":"a"}{}',
      "{'filename':'a'}",
      '{"filename":"a","total_size":NaN}',
      '{"filename":"a","total_size":-Infinity}',
      '{"filename":"a","total_size":05}',
      '{"filename":"a","total_size":+5}',
      '{"filename":"a\tb","total_size":5}',
      '{"filename":"\\x61","total_size":5}',
      '{"filename":"a","total_size":5}\0',
      '\u00a0{}',
      ' ',
      '\n',
      'hello',
      '[]',
      '[{"filename":"a","total_size":5}]',
      'null',
      'true',
      'false',
      '0',
      '5',
      '""',
      '"x"',
      '['.repeat(60_000),
    ]),
  )('such as JSON %s is a 400', async (_name, body) => {
    const id = await client.start('unread.bin', 5)
    const whole = await client.start('whole.bin', 5)
    await client.put(whole, 0, 'hello', 5)
    const headers = { 'Content-Type': JSON_TYPE, 'Content-Range': 'bytes 0-4/5' }
    const answers = [
      await post(body, JSON_TYPE),
      await client.request('PUT', client.urlOf(id), body, headers),
      await client.request('POST', client.urlOf(whole), body, headers),
    ]
    for (const { status, json } of answers) {
      expect([status, json]).toEqual([400, detail(expect.stringMatching(/^JSON parse error - ./))])
    }
  })

  test.each(
    named([
      'multipart/form-data',
      'multipart/form-data; boundary',
      `multipart/form-data; boundary=${'b'.repeat(300)}`,
      'multipart/form-data; charset=utf-8',
    ]),
  )('such as %s is a 400', async (_name, type) => {
    const answer = await post('hello', type)
    expect([answer.status, answer.json]).toEqual([
      400,
      detail(expect.stringMatching(/^Multipart form parse error - Invalid boundary in multipart: ./)),
    ])
  })

  test.each(
    named([
      `--${BOUNDARY}--\r\n`,
      `--${BOUNDARY}`,
      'hello',
      '\r\n',
      `--${BOUNDARY}x\r\n`,
      `--${BOUNDARY}\r\n\r\n`,
    ]),
  )('is not multipart without parts, %s: that has no fields', async (_name, body) => {
    const answer = await post(body, MULTIPART)
    expect([answer.status, answer.json]).toEqual([400, REQUIRED])
  })

  test('is not looked at while something before it is wrong', async () => {
    const id = await client.start('order.bin', 5)
    for (const [type, body] of [
      [JSON_TYPE, '{'],
      ['text/plain', 'x'],
      ['multipart/form-data', 'x'],
    ] as const) {
      const put = (range: string) =>
        client.request('PUT', client.urlOf(id), body, { 'Content-Type': type, 'Content-Range': range })
      expect((await put('')).json).toEqual({ status: false, error: 'Missing Content-Range header' })
      expect((await put('bytes 0-4')).json).toEqual({ status: false, error: 'Invalid Content-Range header' })
      expect((await put('bytes 0-4/6')).json).toEqual({ status: false, error: 'Total size mismatch' })
      const finalized = await client.request('POST', client.urlOf(id), body, { 'Content-Type': type })
      expect(finalized.json).toEqual(refusedBy('Not all chunks uploaded'))
      for (const method of ['PUT', 'POST']) {
        const unknown = await client.request(method, client.urlOf(UNKNOWN), body, { 'Content-Type': type })
        expect([unknown.status, unknown.body]).toEqual([404, '{"detail":"Not found."}'])
      }
    }
  })
})

describe('a body of another type', () => {
  test.each(
    named([
      'text/plain',
      'text/plain; charset=utf-8',
      'TEXT/Plain',
      'application/octet-stream',
      'application/json, text/plain',
      'application /json',
      'application/json+x',
      'application/vnd.api+json',
      'text/json',
      'multipart/mixed; boundary=BB',
      'json',
      '/',
      ';charset=utf-8',
      'gar bage',
      'a"b\\c<d>',
      `x/${'y'.repeat(3_000)}`,
    ]),
  )('is refused with its name as it was sent: %s', async (_name, type) => {
    const id = await client.start('type.bin', 5)
    const whole = await client.start('whole.bin', 5)
    await client.put(whole, 0, 'hello', 5)
    const headers = { 'Content-Type': type, 'Content-Range': 'bytes 0-4/5' }
    for (const [method, url] of [
      ['POST', client.base],
      ['PUT', client.urlOf(id)],
      ['POST', client.urlOf(whole)],
    ] as const) {
      const answer = await client.request(method, url, 'hello', headers)
      expect([answer.status, answer.json]).toEqual([
        415,
        detail(`Unsupported media type "${type}" in request.`),
      ])
    }
  })

  test('or of none is refused, too', async () => {
    const answer = await post('hello', null)
    expect([answer.status, answer.body]).toEqual([
      415,
      '{"detail":"Unsupported media type \\"\\" in request."}',
    ])
  })
})

describe('an empty body', () => {
  const types = [null, JSON_TYPE, FORM, MULTIPART, 'multipart/form-data', 'text/plain', 'gar bage']

  test.each(types)('of the type %s has no fields', async (type) => {
    const id = await client.start('empty.bin', 5)
    const whole = await client.start('whole.bin', 5)
    await client.put(whole, 0, 'hello', 5)
    const headers = { ...(type !== null && { 'Content-Type': type }), 'Content-Range': 'bytes 0-4/5' }
    for (const length of [0, null]) {
      const empty = async (method: string, url: string) => {
        const request = new OpenRequest(url, { method, headers, length })
        request.end()
        const { status, json } = toJson(await request.answer)
        return [status, json]
      }
      expect(await empty('POST', client.base)).toEqual([400, REQUIRED])
      expect(await empty('PUT', client.urlOf(id))).toEqual([
        400,
        { status: false, error: 'No chunk provided' },
      ])
      expect(await empty('POST', client.urlOf(whole))).toEqual([400, refusedBy('Checksum required')])
    }
  })
})

describe('a body that is too large', () => {
  const TOO_LARGE = detail(expect.stringContaining('65536'))
  const padded = (bytes: number) => {
    const fields = '{"filename":"a","total_size":5,"pad":""}'
    return fields.replace('""', `"${'x'.repeat(bytes - fields.length)}"`)
  }
  const paddedForm = (bytes: number) => 'filename=a&total_size=5&pad='.padEnd(bytes, 'x')

  test('is one of more than 64 KiB of JSON', async () => {
    expect(await startedAs(await post(padded(64 * KIB), JSON_TYPE))).toEqual(['a', 5])
    for (const size of [64 * KIB + 1, 70_000, 3_000_000]) {
      const answer = await post(padded(size), JSON_TYPE)
      expect([answer.status, answer.json]).toEqual([413, TOO_LARGE])
    }
  })

  test('is one of more than 64 KiB of a form', async () => {
    expect(await startedAs(await post(paddedForm(64 * KIB), FORM))).toEqual(['a', 5])
    for (const size of [64 * KIB + 1, 3_000_000]) {
      const answer = await post(paddedForm(size), FORM)
      expect([answer.status, answer.json]).toEqual([413, TOO_LARGE])
    }
  })

  test.each<[string, readonly Part[]]>([
    ['one long field', [{ name: 'x', content: 'x'.repeat(64 * KIB + 1) }]],
    ['many fields', Array.from({ length: 20 }, (_, n) => ({ name: `x${n}`, content: 'x'.repeat(4 * KIB) }))],
    [
      'many fields of one name',
      Array.from({ length: 20 }, () => ({ name: 'x', content: 'x'.repeat(4 * KIB) })),
    ],
    ['a long name', [{ name: 'x'.repeat(66_000), content: '' }]],
    [
      'many names of files',
      Array.from({ length: 900 }, (_, n) => ({ ...filePart(''), name: `${n}`.repeat(40) })),
    ],
  ])('is one of multipart fields with %s', async (_name, parts) => {
    const whole = await client.start('whole.bin', 5)
    await client.put(whole, 0, 'hello', 5)
    const fields: readonly Part[] = [
      { name: 'filename', content: 'a' },
      { name: 'total_size', content: '5' },
    ]
    for (const url of [client.base, client.urlOf(whole)]) {
      const body = multipart([...fields, ...parts])
      const answer = await client.request('POST', url, body, { 'Content-Type': MULTIPART })
      expect([answer.status, answer.json]).toEqual([413, TOO_LARGE])
    }
  })

  test('is not one with a large file in it, which a start has no use for', async () => {
    const parts: readonly Part[] = [
      { name: 'filename', content: 'a' },
      { name: 'preview', filename: 'p.png', content: Buffer.alloc(3_000_000) },
      { name: 'total_size', content: '5' },
    ]
    expect(await startedAs(await post(multipart(parts), MULTIPART))).toEqual(['a', 5])
  })

  test('has more than a thousand fields', async () => {
    const few = Array.from({ length: 998 }, () => ({ name: 'x', content: '' }))
    const fields = [
      { name: 'filename', content: 'a' },
      { name: 'total_size', content: '5' },
    ]
    expect(await startedAs(await post(multipart([...few, ...fields]), MULTIPART))).toEqual(['a', 5])
    const answer = await post(multipart([...few, { name: 'x', content: '' }, ...fields]), MULTIPART)
    expect([answer.status, answer.json]).toEqual([400, detail(expect.stringContaining('fields'))])
  })

  test('may be text beside a chunk, which nobody reads', async () => {
    const id = await client.start('beside.bin', 5)
    const large: Part = { name: 'note', content: 'x'.repeat(1_000_000) }
    const answer = await client.putParts(id, 'bytes 0-4/5', [large, filePart('hello'), large])
    expect(answer.json).toMatchObject({ message: 'Chunk uploaded' })
  })

  test('is a 413 before all of it was sent, and is not held in memory', async (context) => {
    if (process.platform !== 'linux') return context.skip('the peak of memory is read from procfs')
    const own = await startTributary({ env: sharedDatabase() })
    const SIZE = 60_000_000
    const head = (length: number, type: string) =>
      `POST /upload/ HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`
    const peak = async () => {
      const status = await readFile(`/proc/${own.child.pid}/status`, 'utf8')
      return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
    }
    const sendAll = async (type: string, begin: string) => {
      const raw = await RawClient.open(own.port)
      await raw.say(head(SIZE, type) + begin)
      const piece = Buffer.alloc(1_000_000, 'x')
      await raw.say(piece)
      // A field of a multipart body is complained about at its end.
      if (type !== MULTIPART) expect(await raw.status()).toBe(413)
      for (let sent = begin.length + piece.length; sent < SIZE; sent += piece.length) {
        await raw.say(piece.subarray(0, SIZE - sent))
      }
      expect(await raw.status()).toBe(413)
      raw.socket.end()
      await raw.closed
      expect(raw.error).toBeNull()
    }
    const kinds = [
      [JSON_TYPE, '{"filename":"'],
      [FORM, 'filename='],
      [MULTIPART, multipart([{ name: 'filename', content: '' }], '').toString()],
    ] as const
    // What the first requests of a process cost is not the question.
    for (const [type] of kinds) {
      const raw = await RawClient.open(own.port)
      await raw.say(head(100_000, type) + 'x'.repeat(100_000))
      await raw.status()
    }
    const before = await peak()
    // All at once: held, they would take 180 MB at least; garbage alone takes up to a third of that.
    await Promise.all(kinds.map(([type, begin]) => sendAll(type, begin)))
    expect((await peak()) - before).toBeLessThan(100)
    expect((await fetch(`${own.origin}/readyz`)).status).toBe(200)
  })
})

describe('addresses', () => {
  const mounts = () => ['/api/upload', '/upload'].map((path) => server.origin + path)

  test('are the same below both mounts', async () => {
    const id = await client.start('mounts.bin', 5)
    for (const mount of mounts()) {
      const { status, json } = await client.request('GET', `${mount}/${id}/`)
      expect([status, json.filename]).toEqual([200, 'mounts.bin'])
      expect((await client.request('GET', `${mount}/`)).status).toBe(403)
    }
  })

  test('without the slash lead readers on, query and all, and serve writers', async () => {
    for (const mount of mounts()) {
      for (const method of ['GET', 'HEAD']) {
        for (const [path, query] of [
          ['', ''],
          ['', '?a=b/c'],
          [`/${UNKNOWN}`, '?x'],
        ]) {
          const answer = await client.request(method, `${mount}${path}${query}`)
          const location = `${new URL(mount).pathname}${path}/${query}`
          expect([answer.status, answer.headers.location, answer.body]).toEqual([301, location, ''])
        }
      }
      const started = await client.json('POST', mount, { filename: 'a', total_size: 5 })
      expect(started.status).toBe(201)
      const url = `${mount}/${started.json.upload_id}`
      const headers = { 'Content-Type': MULTIPART, 'Content-Range': 'bytes 0-4/5' }
      const put = await client.request('PUT', url, multipart([filePart('hello')]), headers)
      expect(put.json).toMatchObject({ message: 'Chunk uploaded' })
      const finalized = await client.json('POST', url, { checksum: '5d41402abc4b2a76b9719d911017c592' })
      expect(finalized.json).toMatchObject({ message: 'Upload completed for a' })
      for (const method of ['PATCH', 'DELETE', 'OPTIONS']) {
        const answer = await client.request(method, url)
        expect([answer.status, answer.headers.location]).toEqual([301, `${new URL(url).pathname}/`])
      }
    }
  })

  test('that are no routes are 404, and never lead on', async () => {
    const id = await client.start('routes.bin', 5)
    const strange = [
      '/api/uploads/',
      '/api/uploadx',
      '/API/upload/',
      '/Upload/',
      '//upload/',
      '/api//upload/',
      '/upload//',
      `/upload//${id}/`,
      `/upload/${id}//`,
      `/upload/${id}/x`,
      `/upload/${id}/x/`,
      `/upload/${id.toUpperCase()}/`,
      `/upload/${id.replaceAll('-', '')}/`,
      `/upload/${id.slice(1)}/`,
      `/upload/${id}0/`,
      `/upload/${id};x/`,
      `/upload/${id}%00/`,
      `/upload/${id}%2F`,
      '/upload/..%2f..%2fetc%2fpasswd/',
      '/upload/%E0%A4%A/',
      '/upload/x/',
      '/upload/*/',
    ]
    for (const path of strange) {
      for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS']) {
        const raw = await RawClient.open(server.port)
        await raw.say(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
        await raw.closed
        expect(raw.received, `${method} ${path}`).toMatch(/^HTTP\/1\.1 404 /)
      }
    }
  })

  test('answer HEAD as GET, without its body', async () => {
    const id = await client.start('head.bin', 5)
    for (const url of [client.urlOf(id), client.urlOf(UNKNOWN), client.base, `${client.base}x/`]) {
      const get = await client.request('GET', url)
      const head = await client.request('HEAD', url)
      expect([head.status, head.body]).toEqual([get.status, ''])
      expect(head.headers['content-type']).toBe(get.headers['content-type'])
    }
    // On one connection: a body that should not be there would be taken for the next answer.
    const raw = await RawClient.open(server.port)
    const ask = (method: string, end = '') =>
      raw.say(`${method} /upload/${id}/ HTTP/1.1\r\nHost: x\r\n${end}\r\n`)
    for (const method of ['HEAD', 'GET', 'HEAD']) await ask(method)
    await ask('GET', 'Connection: close\r\n')
    await raw.closed
    expect(raw.received.match(/HTTP\/1\.1 200 OK\r\n/g)).toHaveLength(4)
    expect(raw.received.match(/^\{"upload_id"/gm)).toHaveLength(2)
  })

  test.each(['PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'MKCOL'])('take no %s', async (method) => {
    for (const url of [client.base, client.urlOf(UNKNOWN)]) {
      const answer = await client.request(method, url)
      expect([answer.status, answer.json]).toEqual([405, detail(`Method "${method}" not allowed.`)])
      expect(answer.headers.allow).toBe('GET, POST, PUT, HEAD, OPTIONS')
    }
  })

  test('take no PUT for all uploads', async () => {
    const answer = await client.request('PUT', client.base, '{', { 'Content-Type': 'text/plain' })
    expect([answer.status, answer.body]).toEqual([404, '{"detail":"Not found."}'])
  })

  test('tell pages of other origins that they may ask, and what they were answered', async () => {
    const preflight = {
      Origin: 'https://example.com',
      'Access-Control-Request-Method': 'PUT',
      'Access-Control-Request-Headers': 'content-range',
    }
    for (const url of [client.base, client.base.slice(0, -1), client.urlOf(UNKNOWN)]) {
      const { status, headers, json } = await client.request('OPTIONS', url, undefined, preflight)
      expect(status).toBe(200)
      expect(headers).toMatchObject({
        'access-control-allow-origin': '*',
        'access-control-allow-methods': expect.stringContaining('PUT'),
        'access-control-allow-headers': expect.stringContaining('Content-Range'),
        allow: 'GET, POST, PUT, HEAD, OPTIONS',
      })
      expect(json).toBeTypeOf('object')
    }
    for (const answer of [await client.detail(UNKNOWN), await post('x', 'text/plain')]) {
      expect(answer.headers['access-control-allow-origin']).toBe('*')
      expect(answer.headers['cache-control']).toMatch(/no-store/)
    }
  })
})

/** A mutation of a body, as a network, a proxy or an enemy may make it. */
function mutated(body: Buffer, random: () => number): Buffer {
  const pick = (below: number) => Math.floor(random() * below)
  const [at, length] = [pick(body.length + 1), pick(40)]
  const token = Buffer.from(TOKENS[pick(TOKENS.length)] ?? '', 'latin1')
  const [before, after] = [body.subarray(0, at), body.subarray(at)]
  if (body.length === 0) return token
  const changed = Buffer.from(body)
  switch (pick(7)) {
    case 0:
      return Buffer.concat([before, after.subarray(length)])
    case 1:
      return Buffer.concat([before, token, after])
    case 2:
      return before
    case 3:
      return Buffer.concat([before, after.subarray(0, length), after])
    case 4:
      return Buffer.concat([before, token, after.subarray(token.length)])
    case 5:
      for (let count = 0; count < 5; count++)
        changed.fill(pick(256), pick(body.length), pick(body.length) + 1)
      return changed
    default:
      return after
  }
}

const TOKENS = [
  '\r\n',
  '\n',
  '\r\n\r\n',
  '--',
  BOUNDARY,
  `--${BOUNDARY}`,
  `\r\n--${BOUNDARY}\r\n`,
  CLOSING,
  '"',
  ';',
  ':',
  '\0',
  '\xff',
  'Content-Disposition: form-data; name="file"; filename="y"\r\n\r\n',
  'Content-Disposition: form-data; name="filename"\r\n\r\nx',
  'Content-Type: text/plain; charset=utf-16\r\n',
  'Content-Transfer-Encoding: base64\r\n',
  "; filename*=utf-8''x",
  '%',
]

describe('garbage', () => {
  const times = <T>(count: number, make: () => T): readonly T[] => Array.from({ length: count }, make)

  test('in place of a chunk is refused, and what is acknowledged was sent', async () => {
    const lenient = await stage.serve({ checksum: { required: false }, app: { idleTimeout: 2_000 } })
    const random = seededRandom(3)
    const content = seededBytes('garbage', 300)
    const valid = multipart([{ name: 'x', content: 'y' }, filePart(content), { name: 'z', content: 'y' }])
    const statuses = new Map<number, number>()
    const sender = async () => {
      const own = lenient.client()
      let id = await own.start('garbage.bin', content.length)
      for (let count = 0; count < 125; count++) {
        const body = times(1 + Math.floor(random() * 3), () => random).reduce(mutated, valid)
        const headers = { 'Content-Type': MULTIPART, 'Content-Range': 'bytes 0-299/300' }
        const { status } = await own.request('PUT', own.urlOf(id), body, headers)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        if (status !== 200) continue
        expect((await own.finalize(id, '')).status).toBe(201)
        const got = Buffer.from(await (await fetch(`${lenient.files}/${id}`)).arrayBuffer())
        expect(got.length).toBe(300)
        expect(body.includes(got), body.toString('latin1')).toBe(true)
        id = await own.start('garbage.bin', content.length)
      }
    }
    await Promise.all(times(4, sender))
    expect([...statuses.keys()].toSorted((a, b) => a - b)).toEqual([200, 400])
    // Without many of each it would prove little.
    expect(Math.min(...statuses.values())).toBeGreaterThan(50)
    expect(await stage.count('$s.claims')).toBe(0)
    await lenient.close()
  })

  test('in place of a start is refused, and the name that is acknowledged was sent', async () => {
    const random = seededRandom(4)
    const valid = multipart([
      { name: 'filename', content: 'garbage.bin' },
      { name: 'preview', filename: 'p', content: 'z'.repeat(100) },
      { name: 'total_size', content: '300' },
    ])
    const statuses = new Set<number>()
    for (let count = 0; count < 300; count++) {
      const body = times(1 + Math.floor(random() * 3), () => random).reduce(mutated, valid)
      const answer = await post(body, MULTIPART)
      statuses.add(answer.status)
      if (answer.status !== 201) continue
      const name = answer.json.message.replace('Upload started for ', '')
      const sent = body.includes(Buffer.from(name)) || name.includes('\ufffd')
      expect(sent, body.toString('latin1')).toBe(true)
    }
    expect(statuses).toEqual(new Set([201, 400]))
  })

  test('in place of requests ends nobody but who sends it', async () => {
    for (const path of ['/upload', `/upload/${UNKNOWN}/`]) {
      for (const [name, attack] of Object.entries(STRANGERS)) {
        await attack(server.port, path).catch((error: unknown) => expect.fail(`${name}: ${String(error)}`))
      }
    }
    expect(await startedAs(await startJson('"a"', '5'))).toEqual(['a', 5])
  })
})

test('clients that leave, in whatever phase and way, leave nothing behind', async () => {
  const total = 400_000
  const bytes = seededBytes('left', total)
  const id = await client.start('left.bin', total)
  await client.put(id, 0, bytes.subarray(0, 100_000), total)
  const chunk = (start: number) =>
    multipart([filePart(bytes.subarray(start, start + 100_000).toString('latin1'))]).toString('latin1')
  const request =
    (method: string, path: string, type: string, body: string, more = '') =>
    async () =>
      `${method} ${path} HTTP/1.1\r\nHost: x\r\n${more}Content-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const start = '{"filename":"left.bin","total_size":5}'
  const put = (from: number) =>
    request(
      'PUT',
      `/upload/${id}/`,
      MULTIPART,
      chunk(from),
      `Content-Range: bytes ${from}-${from + 99_999}/${total}\r\n`,
    )
  const all = leavers({
    'a start': request('POST', '/upload/', JSON_TYPE, start),
    'a start by form': request('POST', '/upload/', FORM, 'filename=left.bin&total_size=5'),
    'a chunk': put(100_000),
    'a chunk again': put(0),
    'a finalize': request('POST', `/upload/${id}/`, JSON_TYPE, '{"checksum":"x"}'),
    'a detail': request('GET', `/upload/${id}/`, JSON_TYPE, ''),
    'a list': request('GET', '/upload/', JSON_TYPE, ''),
    OPTIONS: request('OPTIONS', '/upload/', JSON_TYPE, ''),
  })
  for (const [name, leave] of Object.entries(all)) {
    await leave(server.port, '/upload').catch((error: unknown) => expect.fail(`${name}: ${String(error)}`))
  }
  await expect.poll(() => stage.count('$s.claims')).toBe(0)
  expect((await client.detail(id)).json.chunks[0]).toEqual({ start: 0, end: 99_999, size: 100_000 })
})
