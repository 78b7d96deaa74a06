import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { leavers, requestsOf, STRANGERS } from '../support/hostile-clients.js'
import { RawClient } from '../support/raw-client.js'
import {
  sharedDatabase,
  startTributary,
  type Tributary,
  type TributaryOptions,
} from '../support/tributary.js'

const TUS = { 'Tus-Resumable': '1.0.0' }
const OFFSETS = { ...TUS, 'Content-Type': 'application/offset+octet-stream' }

async function created(server: Tributary, headers: Record<string, string>, body?: Buffer): Promise<string> {
  const answer = await fetch(server.url, {
    method: 'POST',
    headers: { ...OFFSETS, ...headers },
    ...(body && { body: new Uint8Array(body) }),
  })
  expect(answer.status).toBe(201)
  return new URL(answer.headers.get('location') ?? '').pathname
}

/** Lives, answers, and has neither met an error it did not expect nor blamed itself for what a client did. */
async function isWell(server: Tributary): Promise<void> {
  expect((await fetch(`${server.origin}/readyz`)).status).toBe(200)
  const strange = server.log.filter((line) => Number(line.level) >= 40 || Number(line.status) >= 500)
  expect(strange).toEqual([])
}

async function offsetOf(url: string): Promise<number> {
  const head = await fetch(url, { method: 'HEAD', headers: TUS })
  expect(head.status).toBe(200)
  return Number(head.headers.get('upload-offset'))
}

/** All that hostile clients do, on one server; then an upload they all worked on is finished and compared. */
async function surviveAll(options: TributaryOptions): Promise<void> {
  const server = await startTributary(options)
  const path = new URL(server.url).pathname
  for (const [name, attack] of Object.entries(STRANGERS)) {
    await attack(server.port, path).catch((error: unknown) => expect.fail(`${name}: ${String(error)}`))
  }
  await isWell(server)

  const part = await created(
    server,
    { 'Upload-Length': '1000000', 'Upload-Concat': 'partial' },
    Buffer.alloc(1_000_000),
  )
  const open = await created(server, { 'Upload-Length': '50000000' })
  const url = server.origin + open
  for (const [target, only] of [
    [part, /^(?!.*PATCH)/],
    [open, /PATCH/],
  ] as const) {
    const requests = Object.entries(requestsOf(path, target, () => offsetOf(url)))
    const wanted = Object.fromEntries(requests.filter(([name]) => only.test(name)))
    for (const [name, leave] of Object.entries(leavers(wanted))) {
      await leave(server.port, path).catch((error: unknown) => expect.fail(`${name}: ${String(error)}`))
    }
  }
  await isWell(server)
  // The clients did leave in mid-request: without this the rest would prove nothing.
  expect(server.log.filter((line) => line.aborted === true).length).toBeGreaterThan(50)

  const offset = await offsetOf(url)
  const rest = Buffer.alloc(50_000_000 - offset, 'x')
  const patch = await fetch(url, {
    method: 'PATCH',
    headers: { ...OFFSETS, 'Upload-Offset': String(offset) },
    body: rest,
  })
  expect(patch.status).toBe(204)
  const content = Buffer.from(await (await fetch(url)).arrayBuffer())
  expect(content.equals(Buffer.alloc(50_000_000, 'x'))).toBe(true)
  expect(await server.end('SIGTERM')).toEqual({ code: 0, signal: null })
}

/** Another version of Node, from the npm package `node`, or why there is none. */
async function otherNode(version: string): Promise<{ readonly node: string } | { readonly missing: string }> {
  const args = ['--yes', `--package=node@${version}`, 'node', '-p', 'process.execPath']
  try {
    const { stdout } = await promisify(execFile)('npx', args, { timeout: 120_000, cwd: tmpdir() })
    return { node: stdout.trim() }
  } catch (error) {
    return {
      missing: `npx could not bring node@${version} (is the registry reachable?): ${firstLine(error)}`,
    }
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n', 1)[0] ?? ''
}

describe('whatever clients do, the process lives', () => {
  it('on this Node', () => surviveAll({ env: sharedDatabase() }), 120_000)

  // The npm package `node` brings them; the command itself must run on every line it names as supported.
  for (const version of ['20.19', '22', '24']) {
    it(`on Node ${version}`, async ({ skip }) => {
      const node = await otherNode(version)
      if ('missing' in node) return skip(node.missing)
      await surviveAll({ env: sharedDatabase(), through: node })
    })
  }
})

describe('a body that stands still', () => {
  it('is ended after IDLE_TIMEOUT; what came is kept', async () => {
    const server = await startTributary({ env: { ...sharedDatabase(), IDLE_TIMEOUT: '1s' } })
    const path = await created(server, { 'Upload-Length': '100' })
    const client = await RawClient.open(server.port)
    await client.say(
      `PATCH ${path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
        `Content-Type: application/offset+octet-stream\r\nContent-Length: 100\r\n\r\n${'x'.repeat(40)}`,
    )
    expect(await client.status()).toBe(408)
    expect(await offsetOf(server.origin + path)).toBe(40)
    client.socket.destroy()
    await isWell(server)
  })
})

describe('a client that asks before it sends', () => {
  const head = (path: string, offset: number) =>
    `PATCH ${path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: ${offset}\r\n` +
    'Expect: 100-continue\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 5\r\n\r\n'

  it('is told to go on, once', async () => {
    const server = await startTributary({ env: sharedDatabase() })
    const path = await created(server, { 'Upload-Length': '5' })
    const client = await RawClient.open(server.port)
    await client.say(head(path, 0))
    await client.hear('100 Continue')
    await client.say('hello')
    expect(await client.hear('204')).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 204 /)
    client.socket.destroy()
  })

  it('is refused before it sends a byte', async () => {
    const server = await startTributary({ env: sharedDatabase() })
    const path = await created(server, { 'Upload-Length': '5' })
    const client = await RawClient.open(server.port)
    await client.say(head(path, 3))
    expect(await client.status()).toBe(409)
    client.socket.destroy()
  })
})
