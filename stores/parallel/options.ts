import type { Connection } from '../postgres/database.js'

/** What may be asked of a database, whoever asks. */
interface DatabaseOptions {
  readonly database: Connection
  readonly directDatabase?: Connection
  readonly schema?: string
}

/** Refuses options whose mistake would otherwise show far away. Throws a TypeError. */
export function checkNames(options: object | undefined, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Options are needed: at least ${known.slice(0, 2).join(' and ')}.`)
  }
  const unknown = Object.keys(options).filter((name) => !known.includes(name))
  if (unknown.length === 0) return
  throw new TypeError(`${unknown.join(', ')}: no such option; there are ${known.join(', ')}.`)
}

/** Throws a TypeError for a database that cannot be one, and a RangeError for a schema's name. */
export function checkDatabase({ database, directDatabase, schema }: DatabaseOptions): void {
  checkConnection('database', database)
  if (directDatabase !== undefined) checkConnection('directDatabase', directDatabase)
  if (schema === undefined || /^[a-z_][a-z0-9_]{0,49}$/.test(schema)) return
  throw new RangeError(
    `schema must be up to 50 lower-case letters, digits and _, and not begin with a digit, not ${JSON.stringify(schema)}.`,
  )
}

function checkConnection(name: string, connection: unknown): void {
  const url = typeof connection === 'string' && /^postgres(ql)?:\/\//.test(connection)
  if (url || (typeof connection === 'object' && connection !== null)) return
  throw new TypeError(
    `${name} must be a URL such as postgres://user@host/name, or the settings of pg; it is ${shown(connection)}.`,
  )
}

/** A URL of another kind may hold a password. */
function shown(value: unknown): string {
  if (typeof value !== 'string') return value === undefined ? 'missing' : JSON.stringify(value)
  return value.includes('://') ? `one of ${value.split('://', 1)[0]}` : 'something else'
}
