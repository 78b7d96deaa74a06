import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { StartFailure } from './failure.js'

/**
 * Makes DATA_DIR and what is missing above it, level by level: Node's own `recursive` never returns where a file system
 * refuses new directories as not found (`/proc`). Throws a StartFailure that names the setting.
 */
export async function makeDataDir(dataDir: string): Promise<string> {
  const path = resolve(dataDir)
  try {
    const missing: string[] = []
    for (let at = path; !(await isDirectory(at)); at = dirname(at)) missing.unshift(at)
    for (const directory of missing) await mkdir(directory, { recursive: false }).catch(unlessThere)
    return path
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const why = code === 'ENOTDIR' ? 'there is a file in its way' : message
    throw new StartFailure(`DATA_DIR: the directory ${path} cannot be made (${why})`, { cause: error })
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  throw Object.assign(new Error(`${path} is not a directory`), { code: 'ENOTDIR' })
}

/** Another server may have made it at the same moment. */
function unlessThere(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}
