import { chown, lstat, mkdtemp, rmdir, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { codeOf, EmbeddedPostgresError } from './error.js'
import type { Account } from './runner.js'
import { SOCKET_PATH_BYTES, SOCKET_PORT, socketFits, socketPath } from './socket-path.js'

const PREFIX = 'tributary-'

/** A short directory, closed to others, for the socket of a DATA_DIR whose own path is too long for one. */
export async function makePrivateDirectory(account: Account | undefined): Promise<string> {
  const places = [tmpdir(), '/tmp'].filter((place) => socketFits(join(place, `${PREFIX}XXXXXX`)))
  let cause: unknown
  for (const place of places) {
    try {
      const directory = await mkdtemp(join(place, PREFIX))
      if (account) await chown(directory, account.uid, account.gid)
      return directory
    } catch (error) {
      cause = error
    }
  }
  throw new EmbeddedPostgresError(
    'embedded_postgres_failed',
    `DATA_DIR's path is too long for a Unix socket (${SOCKET_PATH_BYTES} bytes), and no short directory can be ` +
      'made in TMPDIR or /tmp: give a shorter DATA_DIR, or set DATABASE_URL',
    { cause },
  )
}

/** Whether one that was made earlier is still there, and nobody else's: its parent is open to everybody. */
export async function isPrivateDirectory(directory: string, account: Account | undefined): Promise<boolean> {
  const owner = account?.uid ?? process.getuid?.()
  try {
    const found = await lstat(directory)
    return found.isDirectory() && found.uid === owner && (found.mode & 0o077) === 0
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}

/** Removes what `makePrivateDirectory` made, and nothing in it that is not a socket's. */
export async function removePrivateDirectory(directory: string): Promise<void> {
  if (!basename(directory).startsWith(PREFIX)) return
  try {
    await unlinkIfThere(socketPath(directory, SOCKET_PORT))
    await unlinkIfThere(`${socketPath(directory, SOCKET_PORT)}.lock`)
    await rmdir(directory)
  } catch (error) {
    const code = codeOf(error)
    // Gone already, or somebody else's, or somebody keeps files there: nothing of ours is lost.
    if (code !== 'ENOENT' && code !== 'EACCES' && code !== 'ENOTEMPTY') throw error
  }
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}
