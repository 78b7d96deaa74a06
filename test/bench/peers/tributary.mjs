import { randomBytes } from 'node:crypto'
import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { freePort } from './free-port.mjs'
import { onObjects } from './on-objects.mjs'
import { startServer } from './start-server.mjs'

const MAIN = fileURLToPath(new URL('../../../dist/src/main.js', import.meta.url))
const PACKAGE = new URL('../../../package.json', import.meta.url)
/** Milliseconds that a database which lost its server gets to end. */
const DATABASE_PATIENCE = 10_000

export const tributary = peer('tributary', 'Tributary', 'relaxed')
export const tributaryStrict = peer('tributary-strict', 'Tributary, strict', 'strict')

export const tributaryS3 = onObjects({
  ...peer('tributary-s3', 'Tributary, S3', 'relaxed'),
  start: ({ directory, env, nodeFlags, objects }) =>
    startTributary({ directory, own: { ...settingsFor(objects), ...env }, nodeFlags }),
})

/** Settings of one that stores there. */
export function settingsFor({ endpoint, bucket, env }) {
  return { STORE: 's3', S3_ENDPOINT: endpoint, S3_BUCKET: bucket, ...env }
}

function peer(name, title, durability) {
  return {
    name,
    title: `${title} (Node)`,
    speaks: new Set(['tus', 'creation-with-upload', 'concatenation', 'checksum', 'frago']),
    syncs: durability === 'strict',
    prepare,
    // The strict one does the same work and waits for the disk in between.
    isProfiled: durability === 'relaxed',
    start: ({ directory, env, nodeFlags }) =>
      startTributary({ directory, own: { DURABILITY: durability, ...env }, nodeFlags }),
  }
}

export async function prepare() {
  // No reason to go without it: it is what is measured.
  await access(MAIN).catch((cause) => {
    throw new Error('Tributary is not built: npm run build', { cause })
  })
  return { version: JSON.parse(await readFile(PACKAGE, 'utf8')).version }
}

/**
 * @param own settings
 * @param cpus those it may use, as taskset writes them; all when it is not given
 * @param database one that is somebody else's; its own when it is not given
 */
export async function startTributary({
  directory,
  own,
  nodeFlags = [],
  cpus,
  database = ownDatabase(directory),
}) {
  const port = await freePort()
  const pinned = cpus === undefined ? [] : ['taskset', '--cpu-list', cpus]
  const [command, ...args] = [...pinned, process.execPath, ...nodeFlags, MAIN, 'serve']
  const env = { PORT: String(port), DATA_DIR: directory, ...own, ...database.settings }
  const server = await startServer({ command, args, port, env })
  const origin = `http://127.0.0.1:${port}`
  return {
    url: `${origin}/files`,
    frago: `${origin}/upload`,
    roots: [server.pid],
    database: await database.pids(),
    stop: async () => {
      await server.stop()
      await database.end()
    },
  }
}

function ownDatabase(directory) {
  return process.env.DATABASE_URL ? ownSchema(process.env.DATABASE_URL) : embedded(directory)
}

/** Runs detached, so that the server's process group says nothing about it. */
function embedded(directory) {
  const postmaster = async () => {
    const text = await readFile(join(directory, 'postgres', 'postmaster.pid'), 'utf8').catch(() => '')
    return text === '' ? [] : [Number(text.split('\n', 1)[0])]
  }
  const end = async () => {
    const deadline = performance.now() + DATABASE_PATIENCE
    // The file goes with the postmaster. It is there only when the server was killed instead of ending by itself.
    for (const pid of await postmaster()) process.kill(pid, 'SIGQUIT')
    while ((await postmaster()).length > 0 && performance.now() < deadline) await sleep(50)
  }
  return { settings: {}, pids: postmaster, end }
}

/** A turn must not find what another one left, nor leave anything behind in a database that is somebody's. */
function ownSchema(url) {
  const schema = `bench_${randomBytes(6).toString('hex')}`
  const end = async () => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`)
    await client.end()
  }
  return { settings: { DATABASE_URL: url, DATABASE_SCHEMA: schema }, pids: async () => [], end }
}
