import { type Command, parseCommandLine } from './config/command-line.js'
import { ConfigError, Problem } from './config/problem.js'
import { LATER_SETTINGS, SETTINGS, type SettingName } from './config/settings.js'
import * as value from './config/values.js'

export { parseCommandLine } from './config/command-line.js'
export { helpText } from './config/help.js'
export { ConfigError } from './config/problem.js'

/** Everything the command can be told, understood and checked. Frozen. */
export interface Config {
  readonly command: Command
  /** HOST. Address to listen on. Default `127.0.0.1`: nobody else on the network reaches the server. */
  readonly host: string
  /** PORT. Default 1080; 0 takes any free port, and the line printed at the start says which. */
  readonly port: number
  /** DATA_DIR. Default `./data`, from the working directory. Holds `blobs` and, without DATABASE_URL, `postgres`. */
  readonly dataDir: string
  /** DATABASE_URL. Null (default): the server runs a PostgreSQL of its own, and is the only server on its data. */
  readonly databaseUrl: string | null
  /** DATABASE_DIRECT_URL. Around the pooler DATABASE_URL leads through. Null (default): it leads through none. */
  readonly databaseDirectUrl: string | null
  /** DATABASE_SCHEMA. Default `tributary`. Changing it later leaves the uploads behind in the old schema. */
  readonly databaseSchema: string
  /** STORE. Default and only choice: `disk`. */
  readonly store: 'disk'
  /** TUS_PATH. Default `/files`. Changing it later makes the upload URLs clients remember unknown. */
  readonly tusPath: string
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
  /** Sentences about settings that were set and have no effect. To be logged. */
  readonly warnings: readonly string[]
}

/** Environment variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Understands the environment and the arguments after the command's name; flags win over variables, and an empty
 * variable or flag counts as not set. Pure: reads nothing else. Throws ConfigError with a sentence for everything
 * that cannot work, all at once.
 */
export function parseConfig(env: Environment, argv: readonly string[]): Config {
  const { command, flags } = parseCommandLine(argv)
  if (command === 'help' || command === 'version') throw new ConfigError([`${command} takes no settings.`])
  const problems: string[] = []
  const given = (name: string) => flags.get(name) || env[name] || null

  function read<T>(name: SettingName, understand: (text: string) => T): T
  function read<T>(name: SettingName, understand: (text: string) => T, without: null): T | null
  function read<T>(name: SettingName, understand: (text: string) => T, without?: null): T | null {
    const text = given(name) ?? defaultOf(name)
    if (text === null && without === null) return null
    try {
      return understand(text ?? '')
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problems.push(`${name}: ${error.message}`)
      // Never seen by anyone: the problem is thrown before the config is returned.
      return null
    }
  }

  const config: Config = {
    command,
    host: read('HOST', value.host),
    port: read('PORT', value.port),
    dataDir: read('DATA_DIR', value.directory),
    databaseUrl: read('DATABASE_URL', value.databaseUrl, null),
    databaseDirectUrl: read('DATABASE_DIRECT_URL', value.databaseUrl, null),
    databaseSchema: read('DATABASE_SCHEMA', value.schema),
    store: read('STORE', value.store),
    tusPath: read('TUS_PATH', value.mountPath),
    durability: read('DURABILITY', value.oneOf('strict', 'relaxed')),
    assembly: read('ASSEMBLY', value.oneOf('background', 'inline', 'never')),
    expiration: read('EXPIRATION', value.expiration),
    maxSize: read('MAX_SIZE', value.maxSize),
    behindProxy: read('BEHIND_PROXY', value.flag),
    idleTimeout: read('IDLE_TIMEOUT', value.timer),
    warnings: later(given, problems),
  }
  if (given('DATABASE_DIRECT_URL') !== null && given('DATABASE_URL') === null) {
    problems.push('DATABASE_DIRECT_URL: is only of use together with DATABASE_URL')
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze(config)
}

function defaultOf(name: SettingName): string | null {
  return SETTINGS.find((setting) => setting.name === name)?.default ?? null
}

function later(given: (name: string) => string | null, problems: string[]): readonly string[] {
  const warnings: string[] = []
  for (const { name, when, because } of LATER_SETTINGS) {
    if (given(name) !== null) (when === 'stop' ? problems : warnings).push(`${name}: ${because}`)
  }
  return Object.freeze(warnings)
}
