/** A setting that cannot work. The message is one line and names no variable: whoever reads the setting adds that. */
export class Problem extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Problem'
  }
}

/** `must be …, got "…"`, with what was given cut short, so that one sentence stays one line. */
export function mustBe(expected: string, given: string): Problem {
  const shown = given.length > 80 ? `${given.slice(0, 77)}...` : given
  return new Problem(`must be ${expected}, got ${JSON.stringify(shown)}`)
}

/** Everything that is wrong with the settings and flags, one sentence a line. */
export class ConfigError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}
