import { inject } from 'vitest'
import { CuttingProxy } from './cutting-proxy.js'
import type { DatabaseSettings } from './server-process.js'

/** A proxy before the database of the run, and the settings that lead through it. */
export async function openDatabaseProxy(): Promise<{ proxy: CuttingProxy; database: DatabaseSettings }> {
  const direct = settingsOf(inject('database'))
  const { host, port } = direct
  const proxy = await CuttingProxy.open([host.startsWith('/') ? `${host}/.s.PGSQL.${port}` : port])
  return { proxy, database: { ...direct, host: '127.0.0.1', port: proxy.port } }
}

type Settings = DatabaseSettings & { readonly host: string; readonly port: number }

function settingsOf(database: DatabaseSettings | string): Settings {
  if (typeof database !== 'string') {
    return { ...database, host: String(database.host ?? 'localhost'), port: Number(database.port ?? 5432) }
  }
  const { hostname, port, username, password, pathname } = new URL(database)
  return {
    host: decodeURIComponent(hostname),
    port: Number(port || 5432),
    user: decodeURIComponent(username),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    database: decodeURIComponent(pathname.slice(1)),
  }
}
