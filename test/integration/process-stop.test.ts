import { existsSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { RawClient } from '../support/raw-client.js'
import { sharedDatabase, spawnTributary, startTributary, type Tributary } from '../support/tributary.js'

const TUS = { 'Tus-Resumable': '1.0.0' }
const CLEAN = { code: 0, signal: null }

async function created(server: Tributary, length: number): Promise<URL> {
  const answer = await fetch(server.url, {
    method: 'POST',
    headers: { ...TUS, 'Upload-Length': String(length) },
  })
  expect(answer.status).toBe(201)
  return new URL(answer.headers.get('location') ?? '')
}

/** Sends the head of a PATCH and some of its body, and keeps the connection. */
async function beginPatch(server: Tributary, path: string, all: Buffer, sent: number): Promise<RawClient> {
  const client = await RawClient.open(server.port)
  await client.say(
    `PATCH ${path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
      `Content-Type: application/offset+octet-stream\r\nContent-Length: ${all.length}\r\n\r\n`,
  )
  await client.say(all.subarray(0, sent))
  return client
}

async function bytesOnDisk(dataDir: string): Promise<number> {
  const directory = join(dataDir, 'blobs')
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** A download nobody reads, from an upload made for it. */
async function stuckDownload(server: Tributary): Promise<RawClient> {
  const bytes = Buffer.alloc(32 * 1024 * 1024)
  const answer = await fetch(server.url, {
    method: 'POST',
    headers: {
      ...TUS,
      'Upload-Length': String(bytes.length),
      'Content-Type': 'application/offset+octet-stream',
    },
    body: bytes,
  })
  const client = await RawClient.open(server.port)
  client.socket.pause()
  await client.say(
    `GET ${new URL(answer.headers.get('location') ?? '').pathname} HTTP/1.1\r\nHost: x\r\n\r\n`,
  )
  // The answer has begun when its first bytes wait to be read.
  client.socket.once('data', () => client.socket.pause())
  client.socket.resume()
  await client.hear('HTTP/1.1 200')
  return client
}

describe('SIGTERM', () => {
  it('ends a running PATCH at a recorded offset, from which the next server goes on', async () => {
    const env = sharedDatabase()
    const first = await startTributary({ env })
    const all = Buffer.from(Array.from({ length: 2_000_000 }, (_, index) => index % 251))
    const { pathname } = await created(first, all.length)
    const client = await beginPatch(first, pathname, all, 1_200_000)
    await expect.poll(() => bytesOnDisk(first.dataDir)).toBe(1_200_000)
    const exit = first.end('SIGTERM')
    expect(await client.hear('\r\n\r\n')).toMatch(/^HTTP\/1\.1 204 .*\r\nUpload-Offset: 1200000\r\n/s)
    client.socket.destroy()
    expect(await exit).toEqual(CLEAN)

    const second = await startTributary({ env: { ...env, DATA_DIR: first.dataDir } })
    const url = second.origin + pathname
    const head = await fetch(url, { method: 'HEAD', headers: TUS })
    expect(head.headers.get('upload-offset')).toBe('1200000')
    const rest = await fetch(url, {
      method: 'PATCH',
      headers: { ...TUS, 'Upload-Offset': '1200000', 'Content-Type': 'application/offset+octet-stream' },
      body: all.subarray(1_200_000),
    })
    expect(rest.status).toBe(204)
    expect(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(all)).toBe(true)
  })

  it('does not wait for idle connections', async () => {
    const server = await startTributary({ env: sharedDatabase() })
    const agent = new Agent({ keepAlive: true })
    onTestFinished(() => agent.destroy())
    await new Promise<void>((resolve, reject) => {
      get(`${server.origin}/healthz`, { agent }, (answer) => answer.resume().once('end', resolve)).once(
        'error',
        reject,
      )
    })
    expect(await server.end('SIGTERM')).toEqual(CLEAN)
    expect(server.stderr).not.toMatch(/cutting|in time/)
  })

  it('cuts a download that does not end, after a while', async () => {
    const server = await startTributary({ env: sharedDatabase() })
    const client = await stuckDownload(server)
    expect(await server.end('SIGTERM')).toEqual(CLEAN)
    expect(server.stderr).toMatch(/it took too long.*cutting what still runs/)
    client.socket.resume()
    await client.closed
  })

  it('to npm reaches the server, which drains, stops its database and exits 0', async () => {
    const npm = await startTributary({ through: 'npm' })
    const { pathname } = await created(npm, 100_000)
    const client = await beginPatch(npm, pathname, Buffer.alloc(100_000, 'x'), 50_000)
    await expect.poll(() => bytesOnDisk(npm.dataDir)).toBe(50_000)
    const postmaster = join(npm.dataDir, 'postgres', 'postmaster.pid')
    expect(existsSync(postmaster)).toBe(true)
    const exit = npm.end('SIGTERM')
    await client.hear('Upload-Offset: 50000')
    client.socket.destroy()
    expect(await exit).toEqual(CLEAN)
    expect(existsSync(postmaster)).toBe(false)
  })

  it('during the start ends it, and its database', async () => {
    const server = await spawnTributary()
    await expect.poll(() => server.stderr).toContain('making the embedded database')
    expect(await server.end('SIGTERM')).toEqual(CLEAN)
    expect(server.stdout).toBe('')
    expect(existsSync(join(server.dataDir, 'postgres', 'postmaster.pid'))).toBe(false)
  })
})

describe('SIGINT', () => {
  it('a second time ends at once what the first one would have waited for', async () => {
    const server = await startTributary({ env: sharedDatabase() })
    await stuckDownload(server)
    server.child.kill('SIGINT')
    await expect.poll(() => server.stderr).toContain('draining')
    // Two signals at the same moment are one key press that came through npm as well.
    await new Promise((resolve) => setTimeout(resolve, 600))
    const { code } = await server.end('SIGINT')
    expect(code).toBe(0)
    expect(server.stderr).toMatch(/told to hurry.*cutting what still runs/)
    expect(server.stderr).not.toContain('it took too long')
  })
})

describe('an embedded database that dies', () => {
  it('is started again, and uploads go on', async () => {
    const server = await startTributary()
    const { href } = await created(server, 5)
    const [pid] = (await readFile(join(server.dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
    process.kill(Number(pid), 'SIGKILL')
    await expect.poll(() => server.stderr).toContain('the embedded database is gone')
    const ready = async () => (await fetch(`${server.origin}/readyz`)).status
    await expect.poll(ready).toBe(200)
    const patch = await fetch(href, {
      method: 'PATCH',
      headers: { ...TUS, 'Upload-Offset': '0', 'Content-Type': 'application/offset+octet-stream' },
      body: 'hello',
    })
    expect(patch.status).toBe(204)
    expect(await (await fetch(href)).text()).toBe('hello')
    expect(await server.end('SIGTERM')).toEqual(CLEAN)
  })
})
