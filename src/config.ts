import { type AuthenticationConfig, readAuthentication } from './config/authentication.js'
import { type Command, parseCommandLine } from './config/command-line.js'
import { type FragoConfig, readFrago } from './config/frago.js'
import { type ObjectsConfig, readObjects } from './config/objects.js'
import { type PathsConfig, readPaths } from './config/paths.js'
import { ConfigError } from './config/problem.js'
import { type Environment, SettingsReader } from './config/reader.js'
import { LATER_SETTINGS } from './config/settings.js'
import * as value from './config/values.js'
import { readWorkers, type WorkersConfig } from './config/workers.js'

export type { AuthenticationConfig, IdentifierMode, TokenSetting } from './config/authentication.js'
export { parseCommandLine } from './config/command-line.js'
export type { FragoConfig } from './config/frago.js'
export { helpText } from './config/help.js'
export type { ObjectsConfig } from './config/objects.js'
export type { PathsConfig } from './config/paths.js'
export { ConfigError } from './config/problem.js'
export type { Environment } from './config/reader.js'
export type { WorkersConfig } from './config/workers.js'

/** Everything the command can be told, understood and checked. Frozen. */
export interface Config extends PathsConfig, AuthenticationConfig, FragoConfig, WorkersConfig {
  readonly command: Command
  /** HOST. Address to listen on. Default `127.0.0.1`: nobody else on the network reaches the server. */
  readonly host: string
  /** PORT. Default 1080; 0 takes any free port, and the line printed at the start says which. */
  readonly port: number
  /** DATA_DIR. Default `./data`, from the working directory. Holds `blobs`, `assembled` and, without DATABASE_URL, `postgres`. */
  readonly dataDir: string
  /** DATABASE_URL. Null (default): the server runs a PostgreSQL of its own, and is the only server on its data. */
  readonly databaseUrl: string | null
  /** DATABASE_DIRECT_URL. Around the pooler DATABASE_URL leads through. Null (default): it leads through none. */
  readonly databaseDirectUrl: string | null
  /** DATABASE_SCHEMA. Default `tributary`. Changing it later leaves the uploads behind in the old schema. */
  readonly databaseSchema: string
  /** STORE. Default `disk`. */
  readonly store: 'disk' | 's3'
  /** S3_*: where objects are kept. Null with `disk`. */
  readonly objects: ObjectsConfig | null
  /** DURABILITY. Default `strict`: bytes are synced before they are acknowledged. `relaxed` leaves that to the system. */
  readonly durability: 'strict' | 'relaxed'
  /** ASSEMBLY. Default `background`. `inline` keeps the client waiting for the copy, `never` keeps the parts' files. */
  readonly assembly: 'background' | 'inline' | 'never'
  /** EXPIRATION, in ms. Default 24 h after the last recorded byte. Null (`never`): unfinished uploads stay for ever. */
  readonly expiration: number | null
  /** MAX_SIZE, in bytes. Null (default, `none`): 2^53 - 1 and the disk are the only limits. */
  readonly maxSize: number | null
  /** BEHIND_PROXY. Default false: forwarding headers are ignored, because anybody could send them. */
  readonly behindProxy: boolean
  /** IDLE_TIMEOUT, in ms. Default 60 s without a byte, after which a request or a download is ended. */
  readonly idleTimeout: number
  /** Sentences about settings that have no effect, or one that may surprise. To be logged. */
  readonly warnings: readonly string[]
}

/**
 * Understands the environment and the arguments after the command's name; flags win over variables. Pure but for the
 * working directory's name: opens nothing. Throws ConfigError with a sentence for everything that cannot work, all at
 * once.
 */
export function parseConfig(env: Environment, argv: readonly string[]): Config {
  const { command, flags } = parseCommandLine(argv)
  if (command === 'help' || command === 'version') throw new ConfigError([`${command} takes no settings.`])
  const reader = new SettingsReader(flags, env)
  const general = {
    host: reader.read('HOST', value.host),
    port: reader.read('PORT', value.port),
    dataDir: reader.read('DATA_DIR', value.directory),
    databaseUrl: reader.read('DATABASE_URL', value.databaseUrl, null),
    databaseDirectUrl: reader.read('DATABASE_DIRECT_URL', value.databaseUrl, null),
    databaseSchema: reader.read('DATABASE_SCHEMA', value.schema),
    store: reader.read('STORE', value.oneOf('disk', 's3')),
    durability: reader.read('DURABILITY', value.oneOf('strict', 'relaxed')),
    assembly: reader.read('ASSEMBLY', value.oneOf('background', 'inline', 'never')),
    expiration: reader.read('EXPIRATION', value.expiration),
    maxSize: reader.read('MAX_SIZE', value.maxSize),
    behindProxy: reader.read('BEHIND_PROXY', value.flag),
    idleTimeout: reader.read('IDLE_TIMEOUT', value.timer),
  }
  if (reader.given('DATABASE_DIRECT_URL') !== null && reader.given('DATABASE_URL') === null) {
    reader.problem('DATABASE_DIRECT_URL', 'is only of use together with DATABASE_URL')
  }
  const workers = readWorkers(reader, { command, ...general })
  const objects = readObjects(reader, general.store)
  const paths = readPaths(reader)
  const authentication = readAuthentication(reader)
  const frago = readFrago(reader, general)
  readLater(reader)
  readStrangers(reader)
  if (reader.problems.length > 0) throw new ConfigError(reader.problems)
  const warnings = Object.freeze([...reader.warnings])
  return Object.freeze({
    command,
    ...general,
    objects,
    ...workers,
    ...paths,
    ...authentication,
    ...frago,
    warnings,
  })
}

/** A namespace of frago's is ours alone; the others may mean something to another program. */
function readStrangers(reader: SettingsReader): void {
  for (const name of reader.strangers()) {
    if (name.startsWith('CHUNKED_UPLOADER_'))
      reader.problem(name, 'is no setting; see --help for their names')
    else reader.warn(name, 'is no setting and has no effect; see --help for their names')
  }
}

function readLater(reader: SettingsReader): void {
  for (const { name, when, because } of LATER_SETTINGS) {
    if (reader.given(name) === null) continue
    if (when === 'stop') reader.problem(name, because)
    else reader.warn(name, because)
  }
}
