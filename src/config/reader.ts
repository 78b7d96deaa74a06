import { Problem } from './problem.js'
import { LATER_SETTINGS, SETTINGS, type Setting, type SettingName } from './settings.js'

/** How settings begin that would protect, place or keep something: mistyped, they would be missed too late. */
const OURS = /^(?:CHUNKED_UPLOADER_|AUTH_TOKEN|JWT_|FRAGO_PATH|RETAIN_|S3_)/

/** Environment variables by name, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The settings as texts, from flags and variables, and the one place that collects what is wrong with them. Flags win;
 * an empty variable or flag counts as not set, unless the setting says what empty means.
 */
export class SettingsReader {
  readonly problems: string[] = []
  readonly warnings: string[] = []
  readonly #flags: ReadonlyMap<string, string>
  readonly #env: Environment

  constructor(flags: ReadonlyMap<string, string>, env: Environment) {
    this.#flags = flags
    this.#env = env
  }

  /** What was set, as it was written; null when nothing was. */
  given(name: string): string | null {
    const text = this.#flags.get(name) || this.#env[name]
    if (text) return text
    const empty = this.#flags.get(name) ?? this.#env[name]
    return empty === undefined ? null : (settingOf(name)?.empty ?? null)
  }

  /** Variables that are set and are no settings, though their names say that they were meant as some. */
  strangers(): readonly string[] {
    const known = new Set([...SETTINGS, ...LATER_SETTINGS].map(({ name }) => name as string))
    return Object.keys(this.#env).filter((name) => OURS.test(name) && !known.has(name) && this.#env[name])
  }

  /** What was set, or its default, understood. */
  read<T>(name: SettingName, understand: (text: string) => T): T
  read<T>(name: SettingName, understand: (text: string) => T, without: null): T | null
  read<T>(name: SettingName, understand: (text: string) => T, without?: null): T | null {
    const text = this.given(name) ?? settingOf(name)?.default ?? null
    if (text === null && without === null) return null
    try {
      return understand(text ?? '')
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      this.problem(name, error.message)
      // Never seen by anyone: the problem is thrown before the config is returned.
      return null
    }
  }

  /** What makes the settings unfit to start with. `sentence` follows the name. */
  problem(name: string, sentence: string): void {
    this.problems.push(`${name}: ${sentence}`)
  }

  /** What whoever starts the server should know, without being stopped. */
  warn(name: string, sentence: string): void {
    this.warnings.push(`${name}: ${sentence}`)
  }
}

function settingOf(name: string): Setting | undefined {
  return SETTINGS.find((setting) => setting.name === name)
}
