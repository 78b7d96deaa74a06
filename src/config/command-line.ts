import { ConfigError } from './problem.js'
import { flagOf, LATER_SETTINGS, SETTINGS, type Setting } from './settings.js'

/** What the command can be told to do. */
export const COMMANDS = ['serve', 'migrate', 'sweep'] as const
export type Command = (typeof COMMANDS)[number]

/** The words after `tributary`, sorted but not yet understood. */
export interface CommandLine {
  readonly command: Command | 'help' | 'version'
  /** Settings given as flags, by the name of their variable. */
  readonly flags: ReadonlyMap<string, string>
}

const HINT = 'tributary --help lists them all.'

/** Sorts the arguments. Throws ConfigError with a sentence for every one that means nothing. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  if (argv.some((word) => word === '--help' || word === '-h')) return { command: 'help', flags: new Map() }
  if (argv.some((word) => word === '--version' || word === '-v'))
    return { command: 'version', flags: new Map() }
  const problems: string[] = []
  const flags = new Map<string, string>()
  const words: string[] = []
  const rest = [...argv]
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (!word.startsWith('-')) words.push(word)
    else takeFlag(word, rest, flags, problems)
  }
  // The word after a flag nobody knows may be its value: complaining about it too would mislead.
  const command = problems.length === 0 ? takeCommand(words, problems) : null
  if (problems.length > 0 || command === null) throw new ConfigError(problems)
  return { command, flags }
}

function takeFlag(word: string, rest: string[], flags: Map<string, string>, problems: string[]): void {
  const [flag = word, ...after] = word.split('=')
  const setting = known(flag)
  if (setting === undefined) {
    problems.push(`There is no flag ${flag}. ${HINT}`)
    return
  }
  const value = after.length > 0 ? after.join('=') : followingValue(setting, rest)
  if (value === undefined) problems.push(`${flag} needs a value, as in ${flag}=VALUE.`)
  else flags.set(setting.name, value)
}

function known(flag: string): { readonly name: string; readonly toggle?: true } | undefined {
  const all: readonly Pick<Setting, 'name' | 'toggle'>[] = [...SETTINGS, ...LATER_SETTINGS]
  return all.find((setting) => flagOf(setting.name) === flag)
}

/** A toggle takes the next word only if it can be meant for it: `--behind-proxy serve` is a toggle and a command. */
function followingValue(setting: { readonly toggle?: true }, rest: string[]): string | undefined {
  const next = rest[0]
  if (setting.toggle) return next === 'true' || next === 'false' ? rest.shift() : 'true'
  return next === undefined || next.startsWith('--') ? undefined : rest.shift()
}

function takeCommand(words: readonly string[], problems: string[]): Command | null {
  const [word, ...more] = words
  const list = COMMANDS.join(', ')
  if (word === undefined) {
    problems.push(`Say what to do: one of ${list}. ${HINT}`)
    return null
  }
  const command = COMMANDS.find((candidate) => candidate === word)
  if (command === undefined)
    problems.push(`There is no command ${JSON.stringify(word)}, only ${list}. ${HINT}`)
  for (const extra of more) problems.push(`${JSON.stringify(extra)} is one word too many. ${HINT}`)
  return command ?? null
}
