import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeOf } from '../../stores/postgres/embedded/error.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'
import type { ServerProcess } from '../support/server-process.js'

const PYTHON_CLIENT = fileURLToPath(new URL('../support/tus-upload.py', import.meta.url))
const OFFSET_TYPE = 'Content-Type: application/offset+octet-stream'

let group: ServerGroup
let server: ServerProcess

beforeAll(async () => {
  group = await ServerGroup.make()
  server = await group.start()
})

afterAll(() => group.end())

describe('curl', () => {
  const content = seededBytes('curl', 3 * 1024 * 1024 + 11)

  test('uploads in pieces, asks for the offset, and downloads', async ({ skip }) => {
    await needs('curl', skip)
    const path = await stored('pieces', content)
    const created = await curl('-X', 'POST', '-H', `Upload-Length: ${content.length}`, server.endpoint)
    expect(created.status).toBe(201)
    const upload = created.location
    const first = await stored('first', content.subarray(0, 1_500_000))
    const kept = await curl(
      '-X',
      'PATCH',
      '-H',
      'Upload-Offset: 0',
      '-H',
      OFFSET_TYPE,
      '--data-binary',
      `@${first}`,
      upload,
    )
    expect([kept.status, kept.header('upload-offset')]).toEqual([204, '1500000'])
    const asked = await curl('--head', upload)
    expect([asked.status, asked.header('upload-offset')]).toEqual([200, '1500000'])
    // -C skips what is there already; -T - would send it chunked, without a length.
    const rest = await curl(
      '-X',
      'PATCH',
      '-H',
      'Upload-Offset: 1500000',
      '-H',
      OFFSET_TYPE,
      '-H',
      'Content-Range:',
      '-C',
      '1500000',
      '-T',
      path,
      upload,
    )
    expect([rest.status, rest.header('upload-offset')]).toEqual([204, String(content.length)])
    await expectDownload(upload)
  })

  test('uploads what comes out of a pipe, of unknown length', async ({ skip }) => {
    await needs('curl', skip)
    const created = await curl('-X', 'POST', '-H', 'Upload-Defer-Length: 1', server.endpoint)
    const upload = created.location
    const path = await stored('piped', content)
    const sent = await promisify(execFile)('sh', [
      '-c',
      'cat "$0" | curl -sS -o /dev/null -w "%{http_code}" -X PATCH -H "Tus-Resumable: 1.0.0" -H "Upload-Offset: 0" -H "$1" -T - "$2"',
      path,
      OFFSET_TYPE,
      upload,
    ])
    expect(sent.stdout).toBe('204')
    const ended = await curl(
      '-X',
      'PATCH',
      '-H',
      `Upload-Offset: ${content.length}`,
      '-H',
      `Upload-Length: ${content.length}`,
      '-H',
      OFFSET_TYPE,
      upload,
    )
    expect(ended.status).toBe(204)
    await expectDownload(upload)
  })

  test('joins parts sent with their creation', async ({ skip }) => {
    await needs('curl', skip)
    const cuts = [0, 1_000_000, 1_000_000, 2_500_000, content.length]
    const parts: string[] = []
    for (const [index, start] of cuts.slice(0, -1).entries()) {
      const piece = content.subarray(start, cuts[index + 1])
      const path = await stored(`part-${index}`, piece)
      const headers = [
        `Upload-Length: ${piece.length}`,
        'Upload-Concat: partial',
        ...(piece.length ? [OFFSET_TYPE] : []),
      ]
      const args = headers.flatMap((header) => ['-H', header])
      const body = piece.length > 0 ? ['--data-binary', `@${path}`] : []
      const answer = await curl('-X', 'POST', ...args, ...body, server.endpoint)
      expect([answer.status, answer.header('upload-offset') ?? '0']).toEqual([201, String(piece.length)])
      parts.push(new URL(answer.location).pathname)
    }
    const final = await curl('-X', 'POST', '-H', `Upload-Concat: final;${parts.join(' ')}`, server.endpoint)
    expect(final.status).toBe(201)
    await expectDownload(final.location)
    for (const [range, from, to] of [
      ['999990-1000010', 999_990, 1_000_011],
      ['3000000-', 3_000_000, content.length],
      ['-7', content.length - 7, content.length],
    ] as const) {
      const target = join(group.dataDir, 'range')
      const answer = await curl('-r', range, '-o', target, final.location)
      expect([answer.status, answer.header('content-range')]).toEqual([
        206,
        `bytes ${from}-${to - 1}/${content.length}`,
      ])
      expect((await readFile(target)).equals(content.subarray(from, to))).toBe(true)
    }
    expect((await curl('-r', `${content.length}-`, final.location)).status).toBe(416)
  })

  test('goes on with a download that broke off', async ({ skip }) => {
    await needs('curl', skip)
    const path = await stored('whole', content)
    const created = await curl(
      '-X',
      'POST',
      '-H',
      `Upload-Length: ${content.length}`,
      '-H',
      OFFSET_TYPE,
      '--data-binary',
      `@${path}`,
      server.endpoint,
    )
    const target = await stored('half', content.subarray(0, 1_234_567))
    expect((await curl('-C', '-', '-o', target, created.location)).status).toBe(206)
    expect(sha256(await readFile(target))).toBe(sha256(content))
  })

  async function expectDownload(upload: string): Promise<void> {
    const target = join(group.dataDir, 'download')
    expect((await curl('-o', target, upload)).status).toBe(200)
    expect(sha256(await readFile(target))).toBe(sha256(content))
  }
})

test("Python's standard library uploads, loses its connection, goes on, joins, and downloads", async ({
  skip,
}) => {
  await needs('python3', skip)
  const content = seededBytes('python', 2 * 1024 * 1024 + 3)
  const path = await stored('python', content)
  const { stdout } = await promisify(execFile)('python3', [PYTHON_CLIENT, server.endpoint, path], {
    timeout: 120_000,
  })
  expect(JSON.parse(stdout)).toEqual({
    resumed: true,
    upload: sha256(content),
    final: sha256(Buffer.concat([content, content])),
    range: sha256(content.subarray(100, 200)),
  })
})

interface CurlAnswer {
  readonly status: number
  readonly location: string
  header(name: string): string | undefined
}

/** Runs curl and gives the last answer's headers; its body is dropped unless `-o` is among the arguments. */
async function curl(...args: readonly string[]): Promise<CurlAnswer> {
  const sink = args.includes('-o') || args.includes('--head') ? [] : ['-o', '/dev/null']
  const always = [
    '-sS',
    ...(args.includes('--head') ? [] : ['-D', '-']),
    ...sink,
    '-H',
    'Tus-Resumable: 1.0.0',
  ]
  const { stdout } = await promisify(execFile)('curl', [...always, ...args], { timeout: 120_000 })
  const last = stdout.trimEnd().split('\r\n\r\n').at(-1) ?? ''
  const [line = '', ...lines] = last.split('\r\n')
  const headers = new Map(
    lines.map((each) => [each.replace(/:.*/, '').toLowerCase(), each.replace(/^[^:]*: */, '')]),
  )
  const header = (name: string) => headers.get(name)
  return { status: Number(line.split(' ')[1]), location: header('location') ?? '', header }
}

async function stored(name: string, content: Uint8Array): Promise<string> {
  const path = join(group.dataDir, `source-${name}`)
  await writeFile(path, content)
  return path
}

/** Skips where the client is not installed. */
async function needs(command: string, skip: (note: string) => void): Promise<void> {
  try {
    await promisify(execFile)(command, ['--version'])
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    skip(`${command} is not installed`)
  }
}
