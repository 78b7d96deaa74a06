import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { reach, urlOf } from '../growth/database.mjs'
import { freePort } from './free-port.mjs'
import { prepareObjects, startObjects } from './objects.mjs'
import { runTool } from './run-tool.mjs'
import { startServer } from './start-server.mjs'
import { prepare as prepareTributary, settingsFor, startTributary, tributary } from './tributary.mjs'

const CONFIGURATION = fileURLToPath(new URL('../../../examples/cluster/haproxy.cfg', import.meta.url))
/** The nodes, their database and the balancer have the first half of the cores, load and S3 the others. */
const ALL = allowedCores()
const HALF = Math.max(1, Math.floor(ALL.length / 2))
const SERVERS = ALL.slice(0, HALF).join(',')
const OTHERS = (ALL.length > 1 ? ALL.slice(HALF) : ALL).join(',')
/** As many as the example's configuration has. */
const PLACES = 3

export const oneNode = nodes('one-node', 'Tributary, one node', 1)
export const threeNodes = nodes('three-nodes', 'Tributary, three nodes', 3)

/** So many nodes with one database, behind HAProxy as the example has it, on S3. */
function nodes(name, title, count) {
  return {
    name,
    title: `${title} (Node)`,
    speaks: tributary.speaks,
    syncs: false,
    isProfiled: true,

    async prepare(tools) {
      const objects = await prepareObjects(tools)
      await runTool('taskset', ['--version'])
      const balancer = /version (\S+?)-/.exec(await runTool('haproxy', ['-v']))?.[1] ?? 'unknown'
      const { version } = await prepareTributary()
      return { version: `${version}, on ${objects}, behind HAProxy ${balancer}` }
    },

    async start({ tools, directory, env, nodeFlags }) {
      const stops = []
      const stop = async () => {
        for (const end of stops.splice(0).reverse()) await end()
      }
      try {
        // What it starts from here on stays there too, unless it is told otherwise: the S3 server, curl, wrk.
        await pinSelf(OTHERS)
        stops.push(() => pinSelf(ALL.join(',')))
        const objects = await startObjects({ tools, directory })
        stops.push(objects.stop)
        const group = await startNodes(
          count,
          { directory, own: { ...settingsFor(objects), ...env }, nodeFlags },
          stops,
        )
        const balancer = await startBalancer(group.map(({ url }) => new URL(url).host))
        stops.push(balancer.stop)
        return {
          url: `${balancer.origin}/files`,
          roots: group.flatMap(({ roots }) => roots),
          database: group[0].database,
          balancer: [balancer.pid],
          stop,
        }
      } catch (error) {
        await stop()
        throw error
      }
    },
  }
}

/** The first has the database, embedded where there is no other; the rest are told where it is. */
async function startNodes(count, { directory, own, nodeFlags }, stops) {
  const started = []
  let database
  for (let index = 0; index < count; index++) {
    const place = join(directory, `node-${index}`)
    await mkdir(place)
    const node = await startTributary({
      directory: place,
      own: { BEHIND_PROXY: 'true', ...own },
      nodeFlags,
      cpus: SERVERS,
      ...(database && { database }),
    })
    stops.push(node.stop)
    started.push(node)
    database ??= await databaseOf(node)
  }
  return started
}

async function databaseOf(node) {
  const { client, schema } = await reach(node)
  const settings = { DATABASE_URL: urlOf(client), DATABASE_SCHEMA: schema }
  await client.end()
  return { settings, pids: async () => [], end: async () => undefined }
}

async function startBalancer(hosts) {
  const port = await freePort()
  const places = Array.from({ length: PLACES }, (_, index) => [
    `NODE_${index + 1}`,
    hosts[index % hosts.length],
  ])
  const { pid, stop } = await startServer({
    command: 'taskset',
    args: ['--cpu-list', SERVERS, 'haproxy', '-db', '-f', CONFIGURATION],
    port,
    env: { LISTEN: `127.0.0.1:${port}`, ...Object.fromEntries(places) },
  })
  return { origin: `http://127.0.0.1:${port}`, pid, stop }
}

/** Those this process may use: not always all, nor the first ones. Empty where there is no /proc, nor a taskset. */
function allowedCores() {
  try {
    const [, list = ''] =
      /^Cpus_allowed_list:\s*(\S*)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    return list.split(',').flatMap((range) => {
      const [first, last = first] = range.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, index) => first + index)
    })
  } catch {
    return []
  }
}

async function pinSelf(cpus) {
  await runTool('taskset', ['--all-tasks', '--cpu-list', '--pid', cpus, String(process.pid)])
}
