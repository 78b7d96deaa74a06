import { randomUUID } from 'node:crypto'
import { chown, readFile, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { PASSWORD_FILE, USER } from './cluster.js'
import { codeOf } from './error.js'
import { isPrivateDirectory, makePrivateDirectory, removePrivateDirectory } from './private-directory.js'
import type { Account } from './runner.js'
import { SOCKET_PORT, socketFits } from './socket-path.js'

export interface Connection {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
  readonly password?: string
  /** Said aloud, because PGSSLMODE in our environment is meant for other databases. */
  readonly ssl: false
}

export type TransportKind = 'socket' | 'tcp'

/** Node speaks no Unix sockets on Windows: it takes such a path for a named pipe. */
export const DEFAULT_TRANSPORT: TransportKind = process.platform === 'win32' ? 'tcp' : 'socket'

/** Postgres' settings that say where to listen. */
export type Listening = Readonly<Record<string, string>>

/** An address that does not follow from DATA_DIR. Pools outlive a database that dies and is started again. */
interface Address {
  readonly socketDirectory?: string
  readonly port?: number
}

/** @param account whom the postmaster runs as, when that is not somebody who may go where we may */
export async function chooseListening(
  dataDirectory: string,
  kind: TransportKind,
  account: Account | undefined,
): Promise<Listening> {
  const last = await readAddress(dataDirectory)
  if (kind === 'tcp') {
    const port = (await freePort(last.port ?? 0)) ?? (await freePort(0)) ?? 0
    await writeAddress(dataDirectory, { port }, account)
    return { listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: '' }
  }
  if (socketFits(dataDirectory)) {
    // DATA_DIR has moved to a shorter path since.
    if (last.socketDirectory) await removePrivateDirectory(last.socketDirectory)
    return onSocket(dataDirectory)
  }
  if (last.socketDirectory && (await isPrivateDirectory(last.socketDirectory, account))) {
    return onSocket(last.socketDirectory)
  }
  const socketDirectory = await makePrivateDirectory(account)
  await writeAddress(dataDirectory, { socketDirectory }, account)
  return onSocket(socketDirectory)
}

function onSocket(directory: string): Listening {
  return {
    listen_addresses: '',
    port: String(SOCKET_PORT),
    // The setting is a list; quotes keep a comma in the path from splitting it.
    unix_socket_directories: `"${directory.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
  }
}

/** How to reach a postmaster that wrote this into its `postmaster.pid`. */
export async function connectionTo(
  dataDirectory: string,
  listening: { readonly port: number; readonly socketDirectory: string },
): Promise<Connection> {
  const { port, socketDirectory } = listening
  const common = { port, user: USER, database: 'postgres', ssl: false } as const
  if (socketDirectory !== '') return { ...common, host: socketDirectory }
  const password = await readFile(join(dataDirectory, PASSWORD_FILE), 'utf8')
  return { ...common, host: '127.0.0.1', password }
}

function addressFile(dataDirectory: string): string {
  return join(dataDirectory, 'tributary.address')
}

async function readAddress(dataDirectory: string): Promise<Address> {
  try {
    return JSON.parse(await readFile(addressFile(dataDirectory), 'utf8'))
  } catch (error) {
    // A syntax error: the machine stopped before the file had its content. It is a preference, not a promise.
    if (codeOf(error) === 'ENOENT' || error instanceof SyntaxError) return {}
    throw error
  }
}

/** By rename, so that root writes through no link that the owner of the data may have laid. */
async function writeAddress(
  dataDirectory: string,
  address: Address,
  account: Account | undefined,
): Promise<void> {
  const draft = join(dataDirectory, `tributary.${randomUUID()}`)
  await writeFile(draft, JSON.stringify(address), { flag: 'wx', mode: 0o600 })
  if (account) await chown(draft, account.uid, account.gid)
  await rename(draft, addressFile(dataDirectory))
}

/** Somebody may take the port before Postgres does; its start then fails, and says so. */
async function freePort(wanted: number): Promise<number | undefined> {
  const server = createServer()
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(wanted, '127.0.0.1', resolve)
    })
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE') return undefined
    throw error
  }
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return address === null || typeof address === 'string' ? undefined : address.port
}
