/** Most bytes of UTF-8 that every file system in use takes for one name. */
export const LONGEST_FILENAME = 255

/** Names beginning so are those of files that are not finished yet. */
const RESERVED_PREFIX = '.tributary-'

/** Whether a name belongs to us. Capitals count too: some file systems see no difference. */
export function isReservedName(name: string): boolean {
  return name.toLowerCase().startsWith(RESERVED_PREFIX)
}

/** A name that no client can have, as those are refused. */
export function reservedName(rest: string): string {
  return RESERVED_PREFIX + rest
}

/**
 * Why a client's filename cannot be the name of a published file, as a sentence; null when it can. A published name is
 * one plain component of a path, also for whoever reads the directory with another program.
 */
export function filenameProblem(name: string, platform: string = process.platform): string | null {
  if (name === '') return 'The filename must not be empty.'
  if (name === '.' || name === '..') return 'The filename must not be "." or "..".'
  if (name.includes('/')) return 'The filename must be a plain name, without "/".'
  // Everywhere else it is a letter like any other.
  if (platform === 'win32' && name.includes('\\')) return 'The filename must be a plain name, without "\\".'
  if (/\p{Cc}/u.test(name)) return 'The filename must not hold control characters.'
  // Half a character is written as a replacement character, so that two names would become one.
  if (/\p{Cs}/u.test(name)) return 'The filename must be valid Unicode.'
  // Every character takes a byte at least, so that this limits characters as well.
  if (Buffer.byteLength(name) > LONGEST_FILENAME) {
    return `The filename must not be longer than ${LONGEST_FILENAME} bytes of UTF-8.`
  }
  if (isReservedName(name)) return `The filename must not begin with "${RESERVED_PREFIX}".`
  return null
}
