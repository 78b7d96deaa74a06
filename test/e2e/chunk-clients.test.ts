import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  ChunkClient,
  commandOf,
  compileExamples,
  LANGUAGES,
  type Language,
  obstacleTo,
} from '../support/chunk-client.js'
import { ChunkProxy, type SentChunk } from '../support/chunk-proxy.js'
import { at, downloadedDigest, send } from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'
import type { ServerProcess } from '../support/server-process.js'

/** The two examples that upload in chunks, as processes, against a server as a process. */

const KIB = 1024

const CONTENT = seededBytes('in chunks', 2 * KIB * KIB + 77)
/** Of these there are 33 in it. */
const CHUNK_SIZE = 64 * KIB
const CHUNKS = Math.ceil(CONTENT.length / CHUNK_SIZE)

const SMALL_CHUNKS = ['--chunk-size', '64KiB'] as const

const ALGORITHMS = [
  ...['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'],
  ...['sha3_224', 'sha3_256', 'sha3_384', 'sha3_512', 'blake2b', 'blake2s'],
]

compileExamples()

let group: ServerGroup
let server: ServerProcess
let proxy: ChunkProxy

beforeEach(async () => {
  group = await ServerGroup.make()
  await mkdir(join(group.dataDir, 'source'))
})

afterEach(() => group.end())

describe.for(LANGUAGES)('the example in %s', (language) => {
  beforeEach(async ({ skip }) => {
    const obstacle = await obstacleTo(language)
    if (obstacle !== null) skip(obstacle)
  })

  test('uploads a file, says only its id, and leaves nothing behind', async () => {
    await serve()
    const file = await source('größe 1.tar.gz', CONTENT)
    const client = start(language, ...SMALL_CHUNKS, file)
    const upload = await idFrom(client)
    await expectStored(upload, file, CONTENT)
    expect(proxy.chunks).toHaveLength(CHUNKS)
    expect(client.stderr).toMatch(/^ {0,2}\d+ % .+ of 2097229 bytes\n/)
    expect(client.stderr).toContain('100 %  2097229 of 2097229 bytes\n')
    expect(client.stderr).not.toContain('\r')
    expect(existsSync(`${file}.upload`)).toBe(false)
  })

  test('uploads an empty file', async () => {
    await serve()
    const file = await source('empty', Buffer.alloc(0))
    await expectStored(await idFrom(start(language, file)), file, Buffer.alloc(0))
    expect(proxy.chunks).toEqual([])
  })

  test('has it checked with each algorithm there is', async () => {
    await serve()
    const file = await source('file', CONTENT)
    for (const algorithm of ALGORITHMS) await idFrom(start(language, '--algorithm', algorithm, file))
  })

  test('killed, it sends only what is missing, whatever the size of its chunks is now', async () => {
    await serve()
    const file = await source('file', CONTENT)
    const { upload, stored } = await killedAfter(20, () => start(language, ...SMALL_CHUNKS, file), file)
    expect(await put(upload, 1_500_001, 1_600_007)).toBe(200)
    proxy.watch()
    const again = start(language, '--chunk-size', '100000', '--parallel', '3', file)
    expect(await idFrom(again)).toBe(upload)
    expect(again.stderr).toContain(`going on with ${upload}\n`)
    await expectStored(upload, file, CONTENT)
    expect(rangesOf(proxy.chunks)).toEqual(
      gapsIn([...stored, { start: 1_500_001, stop: 1_600_007 }], 100_000),
    )
  })

  test('killed when all was sent, it only finishes', async () => {
    await serve()
    const file = await source('file', CONTENT)
    // It waits for the last answer, which its server has given and the test keeps.
    proxy.keepAnswersFrom(CHUNKS)
    const first = start(language, ...SMALL_CHUNKS, '--parallel', '1', file)
    await proxy.untilStored(CHUNKS)
    await first.end('SIGKILL')
    proxy.watch()
    const upload = await rememberedIn(file)
    expect(await idFrom(start(language, file))).toBe(upload)
    await expectStored(upload, file, CONTENT)
    expect(proxy.chunks).toEqual([])
  })

  test('interrupted, it says that the same command goes on, and it does', async () => {
    await serve()
    const file = await source('file', CONTENT)
    proxy.watch(5)
    const first = start(language, ...SMALL_CHUNKS, file)
    await proxy.untilStored(5)
    expect(await first.end('SIGINT')).toEqual({ code: 130, signal: null })
    expect(first.stderr).toContain('interrupted; the same command goes on\n')
    proxy.watch()
    await expectStored(await idFrom(start(language, file)), file, CONTENT)
  })

  test('waits for a server that is killed and started again', async () => {
    await serve()
    const file = await source('file', CONTENT)
    proxy.watch(10)
    const client = start(language, ...SMALL_CHUNKS, file)
    await proxy.untilStored(10)
    await server.kill()
    proxy.watch()
    await expect.poll(() => client.stderr).toContain('trying again')
    server = await group.start()
    proxy.target = server.port
    await expectStored(await idFrom(client), file, CONTENT)
  })

  test('uploads a file that was changed meanwhile anew', async () => {
    await serve()
    const file = await source('file', CONTENT)
    const { upload } = await killedAfter(5, () => start(language, ...SMALL_CHUNKS, file), file)
    const changed = seededBytes('changed', CONTENT.length)
    await writeFile(file, changed)
    proxy.watch()
    const another = await idFrom(start(language, file))
    expect(another).not.toBe(upload)
    await expectStored(another, file, changed)
  })

  test.for([
    ['is deleted', (upload: string) => send(at(server.endpoint, upload), { method: 'DELETE' })],
    [
      'has expired',
      (upload: string) =>
        group.schema.run(`update $s.uploads set expires_at = clock_timestamp() where id = '${upload}'`),
    ],
  ] as const)('starts anew, and says so, where the upload %s', async ([, end]) => {
    await serve()
    const file = await source('file', CONTENT)
    const { upload } = await killedAfter(5, () => start(language, ...SMALL_CHUNKS, file), file)
    await end(upload)
    proxy.watch()
    const client = start(language, file)
    const another = await idFrom(client)
    expect(another).not.toBe(upload)
    expect(client.stderr).toContain('starting anew')
    await expectStored(another, file, CONTENT)
  })

  test('uploads where a token is asked for, and says what the server says where it is not valid', async () => {
    const tokens = join(group.dataDir, 'tokens')
    await writeFile(tokens, 'hush ada\n')
    await serve({ AUTH_TOKENS: tokens })
    const file = await source('file', CONTENT)
    for (const [args, words] of [
      [[], 'Authentication credentials were not provided.'],
      [['--token', 'wrong'], 'Invalid token.'],
    ] as const) {
      const refused = start(language, ...args, file)
      expect(await refused.exited).toEqual({ code: 1, signal: null })
      expect(refused.stderr).toBe(`failed: the server refuses with 401: ${words}\n`)
    }
    const upload = await idFrom(start(language, '--token', 'hush', file))
    await expectStored(upload, file, CONTENT, { Authorization: 'Token hush' })
  })

  test('says what the server says where it is refused', async () => {
    await serve({ MAX_SIZE: '1MiB' })
    const client = start(language, await source('file', CONTENT))
    expect(await client.exited).toEqual({ code: 1, signal: null })
    expect(client.stderr).toMatch(/^failed: the server refuses with 413: \S.+\n$/)
    expect(client.stdout).toBe('')
  })

  test('notices that the server has other bytes than the file, and starts anew the next time', async () => {
    await serve()
    const file = await source('file', CONTENT)
    const { atime, mtime } = await stat(file)
    await utimes(file, atime, mtime)
    await killedAfter(5, () => start(language, ...SMALL_CHUNKS, file), file)
    const changed = seededBytes('changed in secret', CONTENT.length)
    await writeFile(file, changed)
    await utimes(file, atime, mtime)
    proxy.watch()
    const mistaken = start(language, file)
    expect(await mistaken.exited).toEqual({ code: 1, signal: null })
    expect(mistaken.stderr).toContain('Checksum mismatch')
    await expectStored(await idFrom(start(language, file)), file, changed)
  })

  test('looks again where somebody else put a chunk in the way', async () => {
    await serve()
    const file = await source('file', CONTENT)
    proxy.watch(0)
    const client = start(language, ...SMALL_CHUNKS, file)
    await expect.poll(() => existsSync(`${file}.upload`)).toBe(true)
    await expect.poll(() => proxy.waiting).toBe(4)
    const upload = await rememberedIn(file)
    expect(await put(upload, 50_000, 150_000)).toBe(200)
    proxy.watch()
    expect(await idFrom(client)).toBe(upload)
    await expectStored(upload, file, CONTENT)
    expect(proxy.chunks.filter(({ status }) => status === 409).length).toBeGreaterThan(0)
    const brought = proxy.stored.reduce((sum, { start, stop }) => sum + stop - start, 0)
    expect(brought).toBe(CONTENT.length - 100_000)
  })

  test.for([
    ['no file'],
    ['two files', 'one', 'two'],
    ['a wrong address', '--url', '127.0.0.1', 'file'],
    ['no size', '--chunk-size', '0', 'file'],
    ['no number', '--parallel', 'many', 'file'],
    ['an unknown algorithm', '--algorithm', 'crc32', 'file'],
    ['an unknown option', '--frobnicate', 'file'],
  ])('refuses %s', async ([, ...args]) => {
    const client = ChunkClient.start(language, ...args)
    expect(await client.exited).toEqual({ code: 2, signal: null })
    expect(client.stderr).toMatch(/\S/)
    expect(client.stderr).not.toMatch(/Traceback|^ +at /m)
  })

  test('says that there is no such file', async () => {
    const client = ChunkClient.start(language, join(group.dataDir, 'nowhere'))
    expect(await client.exited).toEqual({ code: 1, signal: null })
    expect(client.stderr).toMatch(/^failed: .*nowhere.*\n$/)
  })
})

describe('both examples', () => {
  beforeEach(async ({ skip }) => {
    const obstacle = await obstacleTo('Python')
    if (obstacle !== null) skip(obstacle)
  })

  test.for([
    ['Python', 'TypeScript'],
    ['TypeScript', 'Python'],
  ] as const)('what %s began, %s finishes', async ([first, second]) => {
    await serve()
    const file = await source('file', CONTENT)
    const { upload, stored } = await killedAfter(12, () => start(first, ...SMALL_CHUNKS, file), file)
    proxy.watch()
    expect(await idFrom(start(second, ...SMALL_CHUNKS, file))).toBe(upload)
    await expectStored(upload, file, CONTENT)
    expect(rangesOf(proxy.chunks)).toEqual(gapsIn(stored, CHUNK_SIZE))
  })

  test('both at once finish one upload', async () => {
    await serve()
    const file = await source('file', CONTENT)
    const { upload } = await killedAfter(3, () => start('Python', ...SMALL_CHUNKS, file), file)
    proxy.watch(6)
    const clients = [
      start('Python', ...SMALL_CHUNKS, file),
      start('TypeScript', '--chunk-size', '40000', file),
    ]
    // Neither has finished before the other has begun.
    await expect.poll(() => clients.map(({ stderr }) => stderr.includes('going on'))).toEqual([true, true])
    proxy.watch()
    for (const client of clients) expect(await idFrom(client)).toBe(upload)
    await expectStored(upload, file, CONTENT)
  })
})

test('on a terminal the example in TypeScript draws a bar', async ({ skip }) => {
  const obstacle = await obstacleTo('Python')
  if (obstacle !== null) skip(`a terminal is made with Python, and ${obstacle}`)
  await serve()
  const file = await source('file', CONTENT)
  const command = [...commandOf('TypeScript'), '--url', `${proxy.origin}/upload/`, file]
  const output = await onTerminal(command)
  expect(output).toContain(`\r\x1b[K[${'#'.repeat(30)}] 100 %  2.0 of 2.0 MiB`)
  expect(output).not.toContain('bytes\r\n')
  expect(output).toMatch(/MiB\/s\r\n[0-9a-f-]{36}\r\n$/)
})

async function serve(env: Readonly<Record<string, string>> = {}): Promise<void> {
  server = await group.start(undefined, env)
  proxy = await ChunkProxy.open(server.port)
}

function start(language: Language, ...args: readonly string[]): ChunkClient {
  return ChunkClient.start(language, '--url', `${proxy.origin}/upload/`, ...args)
}

async function source(name: string, content: Buffer): Promise<string> {
  const file = join(group.dataDir, 'source', name)
  await writeFile(file, content)
  return file
}

/** What it prints when all goes well. */
async function idFrom(client: ChunkClient): Promise<string> {
  expect(await client.exited, client.stderr).toEqual({ code: 0, signal: null })
  expect(client.stdout).toMatch(/^[0-9a-f-]{36}\n$/)
  return client.stdout.trim()
}

interface Killed {
  readonly upload: string
  /** Acknowledged, and in the list. */
  readonly stored: readonly SentChunk[]
}

/** A client that is killed when so many of its chunks are stored, and others are on their way. */
async function killedAfter(count: number, start: () => ChunkClient, file: string): Promise<Killed> {
  proxy.watch(count)
  const client = start()
  await proxy.untilStored(count)
  await client.end('SIGKILL')
  proxy.dropHeld()
  const upload = await rememberedIn(file)
  const stored = [...proxy.stored].sort((a, b) => a.start - b.start)
  expect(await listed(upload)).toEqual(rangesOf(stored))
  return { upload, stored }
}

async function rememberedIn(file: string): Promise<string> {
  const { upload_id } = JSON.parse(await readFile(`${file}.upload`, 'utf8')) as { upload_id: string }
  return upload_id
}

async function listed(upload: string): Promise<readonly (readonly [number, number])[]> {
  const answer = await fetch(`http://127.0.0.1:${server.port}/upload/${upload}/`)
  const { chunks } = (await answer.json()) as { chunks: readonly { start: number; end: number }[] }
  return chunks.map(({ start, end }) => [start, end + 1])
}

function rangesOf(chunks: readonly SentChunk[]): readonly (readonly [number, number])[] {
  return chunks.map(({ start, stop }) => [start, stop] as const).sort(([a], [b]) => a - b)
}

/** What is missing, in pieces of at most so many bytes. */
function gapsIn(
  stored: readonly Omit<SentChunk, 'status'>[],
  most: number,
): readonly (readonly [number, number])[] {
  const has = (byte: number) => stored.some(({ start, stop }) => start <= byte && byte < stop)
  const gaps: [number, number][] = []
  for (let from = 0; from < CONTENT.length; from++) {
    if (has(from)) continue
    let to = from + 1
    while (to < CONTENT.length && to - from < most && !has(to)) to++
    gaps.push([from, to])
    from = to - 1
  }
  return gaps
}

async function put(upload: string, from: number, to: number): Promise<number> {
  const body = new FormData()
  body.append('file', new Blob([CONTENT.subarray(from, to)]), 'chunk')
  const headers = { 'Content-Range': `bytes ${from}-${to - 1}/${CONTENT.length}` }
  const url = `http://127.0.0.1:${server.port}/upload/${upload}/`
  return (await fetch(url, { method: 'PUT', headers, body })).status
}

/** Under its name, and at the address it has for tus. */
async function expectStored(
  upload: string,
  file: string,
  content: Buffer,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const name = file.split('/').at(-1) ?? ''
  expect(sha256(await readFile(join(group.dataDir, 'assembled', name)))).toBe(sha256(content))
  const url = at(server.endpoint, upload)
  if (Object.keys(headers).length === 0) expect(await downloadedDigest(url)).toBe(sha256(content))
  else expect(sha256(Buffer.from(await (await fetch(url, { headers })).arrayBuffer()))).toBe(sha256(content))
}

/** What a command prints where its output is a terminal. */
async function onTerminal(command: readonly string[]): Promise<string> {
  const program = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)'
  const { stdout } = await promisify(execFile)('python3', ['-c', program, ...command])
  return stdout
}
