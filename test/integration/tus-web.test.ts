import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TusStage } from '../support/tus-stage.js'

let stage: TusStage
const escaped: unknown[] = []
const note = (error: unknown) => escaped.push(error)

beforeEach(async () => {
  stage = await TusStage.open()
  escaped.length = 0
  process.on('uncaughtException', note).on('unhandledRejection', note)
})
afterEach(async () => {
  await stage.close()
  process.off('uncaughtException', note).off('unhandledRejection', note)
  expect(escaped).toEqual([])
})

const OFFSET_TYPE = 'application/offset+octet-stream'

function ask(
  path: string,
  method: string,
  headers: Record<string, string> = {},
  body?: ConstructorParameters<typeof Response>[0],
) {
  const request = new Request(`https://files.example${path}`, {
    method,
    headers: { 'Tus-Resumable': '1.0.0', ...headers },
    ...(body !== undefined && { body, duplex: 'half' }),
  } as RequestInit)
  return stage.tus.handleWeb(request)
}

async function create(length: number): Promise<string> {
  const answer = await ask('/files', 'POST', { 'Upload-Length': String(length) })
  expect(answer.status).toBe(201)
  return new URL(answer.headers.get('location') as string).pathname
}

/** A body that breaks after its first bytes, as when a client leaves. */
function broken(first: string): ReadableStream {
  let given = false
  return new ReadableStream({
    pull(controller) {
      if (given) controller.error(new Error('gone'))
      else controller.enqueue(Buffer.from(first))
      given = true
    },
  })
}

describe('handleWeb', () => {
  test('carries an upload through its life', async () => {
    const path = await create(10)
    const headers = { 'Upload-Offset': '0', 'Content-Type': OFFSET_TYPE }
    const patched = await ask(path, 'PATCH', headers, 'hello')
    expect([patched.status, patched.headers.get('upload-offset'), patched.body]).toEqual([204, '5', null])
    const streamed = new Blob(['world']).stream()
    expect((await ask(path, 'PATCH', { ...headers, 'Upload-Offset': '5' }, streamed)).status).toBe(204)
    const looked = await ask(path, 'HEAD')
    expect(looked.headers.get('upload-offset')).toBe('10')
    const got = await ask(path, 'GET', { Range: 'bytes=3-6' })
    expect([got.status, await got.text()]).toEqual([206, 'lowo'])
    expect((await ask(path, 'DELETE')).status).toBe(204)
    expect((await ask(path, 'HEAD')).status).toBe(404)
  })

  test('names https where the request came over it', async () => {
    const answer = await ask('/files', 'POST', { 'Upload-Length': '1' })
    expect(answer.headers.get('location')).toMatch(/^https:\/\/files\.example\/files\//)
  })

  test('answers refusals with their status and sentence', async () => {
    const answer = await ask('/files', 'POST')
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringMatching(/Upload-Length/)])
    const path = await create(5)
    const headers = {
      'Upload-Offset': '0',
      'Content-Type': OFFSET_TYPE,
      'Upload-Checksum': 'md5 1B2M2Y8AsgTpgAmY7PhCfg==',
    }
    const mismatch = await ask(path, 'PATCH', headers, 'hello')
    expect([mismatch.status, mismatch.statusText]).toEqual([460, 'Checksum Mismatch'])
  })

  test('keeps what came of a body that broke', async () => {
    const path = await create(5)
    await ask(path, 'PATCH', { 'Upload-Offset': '0', 'Content-Type': OFFSET_TYPE }, broken('abc'))
    expect((await ask(path, 'HEAD')).headers.get('upload-offset')).toBe('3')
  })

  test('survives readers that leave, before and in the middle of a download', async () => {
    const path = await create(300_000)
    const headers = { 'Upload-Offset': '0', 'Content-Type': OFFSET_TYPE }
    await ask(path, 'PATCH', headers, Buffer.alloc(300_000))
    await (await ask(path, 'GET')).body?.cancel()
    const reader = (await ask(path, 'GET')).body?.getReader()
    await reader?.read()
    await reader?.cancel()
    expect((await (await ask(path, 'GET')).arrayBuffer()).byteLength).toBe(300_000)
  })

  test('cancels a body it does not want', async () => {
    let cancelled = false
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(Buffer.alloc(10)),
      cancel: () => {
        cancelled = true
      },
    })
    const path = await create(5)
    expect(
      (await ask(path, 'PATCH', { 'Upload-Offset': '0', 'Content-Type': OFFSET_TYPE }, body)).status,
    ).toBe(413)
    await new Promise((resolve) => setImmediate(resolve))
    expect(cancelled).toBe(true)
  })

  test('takes an empty body of unknown type for none', async () => {
    const answer = await ask('/files', 'POST', { 'Upload-Length': '5' }, new Blob([]).stream())
    expect(answer.status).toBe(201)
    const typed = await ask('/files', 'POST', { 'Upload-Length': '5' }, new Blob(['x']).stream())
    expect(typed.status).toBe(415)
  })

  test('is what the handlers of the server answer, too', async () => {
    const request = new Request('http://a/files', { method: 'OPTIONS' })
    const context = { signal: new AbortController().signal, abort: () => undefined, cancel: () => undefined }
    const answer = await stage.tus.handlers.OPTIONS.send(request as never, context)
    expect(answer.headers.get('tus-version')).toBe('1.0.0')
  })
})
