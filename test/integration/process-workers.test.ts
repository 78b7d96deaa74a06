import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { childrenOf, isAlive } from '../support/child-processes.js'
import { RawClient } from '../support/raw-client.js'
import { create, offsetOf, patch, send } from '../support/raw-tus.js'
import {
  sharedDatabase,
  spawnTributary,
  startTributary,
  type Tributary,
  type TributaryOptions,
} from '../support/tributary.js'

const CLEAN = { code: 0, signal: null }

/** Longer than StopSignals takes two signals for one wish. */
const ANOTHER_WISH_MS = 600

function withWorkers(workers: number, env: TributaryOptions['env'] = {}): { env: Record<string, string> } {
  return { env: { ...env, WORKERS: String(workers) } }
}

function workersOf(server: Tributary): Promise<readonly number[]> {
  return childrenOf(server.child.pid ?? 0)
}

/** The pids that have logged a request. */
function servers(server: Tributary): ReadonlySet<unknown> {
  return new Set(server.log.filter(({ msg }) => msg === 'request').map(({ pid }) => pid))
}

async function nothingIsLeft(pids: readonly number[], server: Tributary): Promise<void> {
  for (const pid of pids) await expect.poll(() => isAlive(pid), { message: `worker ${pid}` }).toBe(false)
  expect(existsSync(join(server.dataDir, 'postgres', 'postmaster.pid'))).toBe(false)
}

/** A PATCH of 100 000 bytes of which half are sent. */
async function halfPatch(server: Tributary, upload: string): Promise<RawClient> {
  const client = await RawClient.open(server.port)
  await client.say(
    `PATCH ${new URL(upload).pathname} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
      'Content-Type: application/offset+octet-stream\r\nContent-Length: 100000\r\n\r\n',
  )
  await client.say(Buffer.alloc(50_000, 'x'))
  return client
}

/** So many of them; round robin takes them to all workers. */
async function halfPatches(server: Tributary, count: number) {
  const patches = await Promise.all(
    Array.from({ length: count }, async () => {
      const upload = await create(server.url, 100_000)
      return { upload, client: await halfPatch(server, upload) }
    }),
  )
  await expect.poll(() => bytesOnDisk(server.dataDir)).toBe(count * 50_000)
  return patches
}

async function bytesOnDisk(dataDir: string): Promise<number> {
  const entries = await readdir(join(dataDir, 'blobs'), { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}

async function answeredHalf(client: RawClient): Promise<void> {
  expect(await client.hear('\r\n\r\n')).toMatch(/^HTTP\/1\.1 204 .*\r\nUpload-Offset: 50000\r\n/s)
  client.socket.destroy()
}

/** A download nobody reads. */
async function stuckDownload(server: Tributary): Promise<RawClient> {
  const upload = await create(server.url, 32 * 1024 * 1024)
  expect((await patch(upload, 0, Buffer.alloc(32 * 1024 * 1024))).status).toBe(204)
  const client = await RawClient.open(server.port)
  await client.say(`GET ${new URL(upload).pathname} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await client.hear('HTTP/1.1 200')
  client.socket.pause()
  return client
}

describe('a start with workers', () => {
  it('prints one line, when all of them answer at the one port', async () => {
    const server = await startTributary(withWorkers(2, sharedDatabase()))
    const workers = await workersOf(server)
    expect(workers).toHaveLength(2)
    expect(server.stdout).toMatch(/^Tributary is ready at http:\/\/127\.0\.0\.1:[1-9]\d+\/files\n$/)
    for (let request = 0; request < 4; request++) await create(server.url, 1)
    await expect.poll(() => [...servers(server)].sort()).toEqual([...workers].sort())
    expect(await server.end('SIGTERM')).toEqual(CLEAN)
    expect(server.stdout.trim().split('\n')).toHaveLength(1)
    await nothingIsLeft(workers, server)
  })

  it('of one is the one process of always', async () => {
    const server = await startTributary(withWorkers(1, sharedDatabase()))
    expect(await workersOf(server)).toEqual([])
    await create(server.url, 1)
    await expect.poll(() => [...servers(server)]).toEqual([server.child.pid])
  })

  it('takes the port it was told, and the flag', async () => {
    const port = String(await aFreePort())
    const env = { ...sharedDatabase(), PORT: port, HOST: 'localhost' }
    const server = await startTributary({ env, args: ['serve', '--workers', '3'] })
    expect(server.port).toBe(Number(port))
    expect(await workersOf(server)).toHaveLength(3)
  })

  it('is refused once where the port is taken, as without workers', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const address = other.address()
    const PORT = typeof address === 'object' && address !== null ? String(address.port) : ''
    await expectSameFailure({ PORT })
    other.close()
  })

  it.each([
    { AUTH_TOKENS: '/nowhere/tokens' },
    { HOST: '192.0.2.1', PORT: '1080' },
    { HOST: '192.0.2.1' },
    { DATA_DIR: '/dev/null/x' },
    { DATABASE_URL: 'postgres://nobody:secret@127.0.0.1:9/none' },
  ])('with %j fails once, as without workers', async (env) => {
    await expectSameFailure(env)
  })

  it('of too many for the embedded database is misuse', async () => {
    const server = await spawnTributary(withWorkers(17))
    expect(await server.exited).toEqual({ code: 2, signal: null })
    expect(server.stderr).toMatch(/^WORKERS: must be at most 16 with the embedded database.*DATABASE_URL\n$/)
  })

  it('ends with its database when told to during it', async () => {
    const server = await spawnTributary(withWorkers(2))
    await expect.poll(() => workersOf(server)).toHaveLength(2)
    const workers = await workersOf(server)
    expect(await server.end('SIGTERM')).toEqual(CLEAN)
    expect(server.stdout).toBe('')
    await nothingIsLeft(workers, server)
  })

  async function expectSameFailure(env: Readonly<Record<string, string>>): Promise<void> {
    const outcomes = await Promise.all(
      [1, 2].map(async (workers) => {
        const server = await spawnTributary(withWorkers(workers, { ...sharedDatabase(), ...env }))
        const exit = await server.exited
        // In brackets the system's own words, which differ between Node's ways to open a port.
        return { ...exit, stdout: server.stdout, stderr: server.stderr.replace(/\(.*\)/, '(…)') }
      }),
    )
    expect(outcomes[1]).toEqual(outcomes[0])
    expect(outcomes[1]).toMatchObject({ code: 1, stdout: '' })
    expect(outcomes[1]?.stderr).toMatch(/^[A-Z_]+: .*\n$/)
  }
})

describe('a signal to stop', () => {
  it('to npm drains all workers, stops the database and exits 0', async () => {
    const npm = await startTributary({ ...withWorkers(2), through: 'npm' })
    const [primary] = npm.log.filter(({ msg }) => msg === 'the embedded Postgres runs')
    const workers = await childrenOf(Number(primary?.pid))
    expect(workers).toHaveLength(2)
    const patches = await halfPatches(npm, 4)
    const exit = npm.end('SIGTERM')
    await Promise.all(patches.map(({ client }) => answeredHalf(client)))
    expect(await exit).toEqual(CLEAN)
    const running = npm.log.filter(({ msg }) => msg === 'draining').map((line) => Number(line.running))
    expect(running).toHaveLength(2)
    expect(running.reduce((sum, each) => sum + each)).toBe(4)
    await nothingIsLeft(workers, npm)
  })

  it('to the whole group is one to each of them', async () => {
    const server = await startTributary({ ...withWorkers(2), leadsGroup: true })
    const workers = await workersOf(server)
    const patches = await halfPatches(server, 4)
    process.kill(-(server.child.pid ?? 0), 'SIGINT')
    await Promise.all(patches.map(({ client }) => answeredHalf(client)))
    expect(await server.exited).toEqual(CLEAN)
    expect(server.stderr).not.toContain('takes its place')
    await nothingIsLeft(workers, server)
  })

  it('a second time ends at once what the first one would have waited for', async () => {
    const server = await startTributary({ ...withWorkers(2), leadsGroup: true })
    const workers = await workersOf(server)
    await Promise.all([stuckDownload(server), stuckDownload(server)])
    const group = -(server.child.pid ?? 0)
    process.kill(group, 'SIGINT')
    await sleep(ANOTHER_WISH_MS)
    process.kill(group, 'SIGINT')
    expect(await server.exited).toEqual(CLEAN)
    expect(server.stderr).toMatch(/told to hurry.*cutting what still runs/)
    expect(server.stderr).not.toContain('it took too long')
    await nothingIsLeft(workers, server)
  })

  it('a third time leaves no worker, whatever it is at', async () => {
    const server = await startTributary(withWorkers(2, sharedDatabase()))
    const workers = await workersOf(server)
    for (const pid of workers) process.kill(pid, 'SIGSTOP')
    for (let wish = 0; wish < 3; wish++) {
      server.child.kill('SIGTERM')
      await sleep(ANOTHER_WISH_MS)
    }
    expect(await server.exited).toEqual({ code: 1, signal: null })
    await nothingIsLeft(workers, server)
  })

  it('to a worker alone has it end in order, and another take its place', async () => {
    const server = await startTributary(withWorkers(2, sharedDatabase()))
    const before = await workersOf(server)
    const patches = await halfPatches(server, 4)
    process.kill(before[0] ?? 0, 'SIGTERM')
    const first = await Promise.race(
      patches.map(async (each) => {
        await answeredHalf(each.client)
        return each
      }),
    )
    expect((await patch(first.upload, 50_000, Buffer.alloc(50_000))).status).toBe(204)
    for (const { client } of patches) client.socket.destroy()
    await expect.poll(() => server.stderr).toContain('took the place')
    const after = await workersOf(server)
    expect(after).toHaveLength(2)
    expect(after).toContain(before[1])
    expect(await server.end('SIGTERM')).toEqual(CLEAN)
  })
})

describe('workers that are killed', () => {
  it('all at once, leave the port to those who take their place', async () => {
    const server = await startTributary(withWorkers(2, sharedDatabase()))
    const before = await workersOf(server)
    const upload = await create(server.url, 10)
    for (const pid of before) process.kill(pid, 'SIGKILL')
    const status = async () => (await send(`${server.origin}/healthz`).catch(() => null))?.status
    await expect.poll(status).toBe(200)
    expect((await patch(upload, 0, Buffer.alloc(10))).status).toBe(204)
    await expect.poll(() => workersOf(server)).toHaveLength(2)
    for (const pid of await workersOf(server)) expect(before).not.toContain(pid)
    expect(server.stdout.trim().split('\n')).toHaveLength(1)
    expect(await server.end('SIGTERM')).toEqual(CLEAN)
  })
})

describe('a primary that is killed', () => {
  it('leaves no workers, which record what they have, and a database for the next start', async () => {
    const first = await startTributary(withWorkers(2))
    const workers = await workersOf(first)
    const patches = await halfPatches(first, 4)
    first.child.kill('SIGKILL')
    const second = startTributary(withWorkers(2, { DATA_DIR: first.dataDir, PORT: String(first.port) }))
    await Promise.all(patches.map(({ client }) => answeredHalf(client)))
    for (const pid of workers) await expect.poll(() => isAlive(pid)).toBe(false)
    const { log } = await second
    expect(log.map(({ msg }) => msg)).toContain('adopted a running embedded Postgres')
    for (const { upload } of patches) {
      expect(await offsetOf(upload)).toBe(50_000)
      expect((await patch(upload, 50_000, Buffer.alloc(50_000))).status).toBe(204)
    }
    expect(await (await second).end('SIGTERM')).toEqual(CLEAN)
  })

  it('leaves none that wait for a client who does not read', async () => {
    const server = await startTributary(withWorkers(2, sharedDatabase()))
    const workers = await workersOf(server)
    await Promise.all([stuckDownload(server), stuckDownload(server)])
    server.child.kill('SIGKILL')
    for (const pid of workers) await expect.poll(() => isAlive(pid)).toBe(false)
  })

  it('during the start leaves none either', async () => {
    const server = await spawnTributary(withWorkers(2))
    await expect.poll(() => workersOf(server)).toHaveLength(2)
    const workers = await workersOf(server)
    server.child.kill('SIGKILL')
    for (const pid of workers) await expect.poll(() => isAlive(pid)).toBe(false)
  })
})

async function aFreePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}
