import { parseDuration } from './durations.js'
import { mustBe, Problem } from './problem.js'
import { parseSize } from './sizes.js'

/** Longer waits overflow Node's timers, which then fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export function host(text: string): string {
  if (!/^[A-Za-z0-9.:%_-]{1,255}$/.test(text)) throw mustBe('a host name or an IP address', text)
  return text
}

export function port(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  if (!(number <= 65_535)) throw mustBe('an integer from 0 to 65535', text)
  return number
}

export function directory(text: string): string {
  return text
}

/** The URL is not repeated in the sentence: it may hold a password. */
export function databaseUrl(text: string): string {
  const scheme = /^postgres(ql)?:\/\//.test(text)
  // `user@/database?host=/run/postgresql` is no URL to WHATWG, but libpq and pg take it.
  if (!scheme || !URL.canParse(text.replace('@/', '@host/'))) {
    throw new Problem('must be a URL like postgres://user:password@host:5432/database')
  }
  return text
}

/** The names PostgreSQL takes without quotes, so that what is seen in psql is what was set. */
export function schema(text: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(text)) {
    throw mustBe('a name of up to 63 lower-case letters, digits and _, not beginning with a digit', text)
  }
  if (text.startsWith('pg_') || text === 'information_schema') {
    throw mustBe("a schema of Tributary's own, not one PostgreSQL keeps for itself", text)
  }
  return text
}

export function oneOf<Word extends string>(...words: readonly Word[]): (text: string) => Word {
  return (text) => {
    const word = words.find((candidate) => candidate === text)
    if (word === undefined)
      throw mustBe(words.length === 1 ? `${words[0]}` : `one of ${words.join(', ')}`, text)
    return word
  }
}

/** `0` is refused instead of guessed at: some mean "at once" by it and some "never". */
export function expiration(text: string): number | null {
  if (text === 'never') return null
  const milliseconds = parseDuration(text)
  if (milliseconds === null || milliseconds === 0) {
    throw mustBe('a duration above 0 such as 90s, 15m, 24h or 7d, or never', text)
  }
  return milliseconds
}

export function timer(text: string): number {
  const milliseconds = parseDuration(text)
  if (milliseconds === null || milliseconds === 0 || milliseconds > LONGEST_TIMER_MS) {
    throw mustBe('a duration from 1s to 24d', text)
  }
  return milliseconds
}

export function maxSize(text: string): number | null {
  if (text === 'none') return null
  const bytes = parseSize(text)
  if (bytes === null || bytes === 0) {
    throw mustBe('a number of bytes above 0, such as 1000000 or 10GiB, or none', text)
  }
  return bytes
}

export function flag(text: string): boolean {
  if (text === 'true' || text === '1') return true
  if (text === 'false' || text === '0') return false
  throw mustBe('true or false', text)
}
