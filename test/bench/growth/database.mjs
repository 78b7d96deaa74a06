import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'

/** A connection to the database of a running Tributary, which is where the settings of its process say. */
export async function reach({ roots: [pid] }) {
  const { DATABASE_URL, DATABASE_SCHEMA = 'tributary', DATA_DIR } = await settingsOf(pid)
  const client = new pg.Client(DATABASE_URL ?? (await embeddedIn(DATA_DIR)))
  // The server may end, and its database with it, while a work that failed is being left.
  client.on('error', () => undefined)
  await client.connect()
  return {
    client,
    schema: DATABASE_SCHEMA,
    s: client.escapeIdentifier(DATABASE_SCHEMA),
    dataDir: DATA_DIR,
    embedded: DATABASE_URL === undefined,
  }
}

/** The address of the database that a connection goes to. */
export function urlOf({ host, port, user, password, database }) {
  const url = new URL('postgres://localhost')
  Object.assign(url, {
    username: user,
    password: password ?? '',
    port: String(port),
    pathname: `/${database}`,
  })
  // The directory of a socket cannot stand where a URL has its host.
  url.searchParams.set('host', host)
  return url.href
}

async function settingsOf(pid) {
  const text = await readFile(`/proc/${pid}/environ`, 'utf8')
  return Object.fromEntries(text.split('\0').map((line) => line.split(/=(.*)/s, 2)))
}

/** What the postmaster wrote about itself: pid, directory, start, port, directory of the socket. */
async function embeddedIn(dataDir) {
  const [, , , port, host] = (await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')
  return { host, port: Number(port), user: 'tributary', database: 'postgres' }
}
