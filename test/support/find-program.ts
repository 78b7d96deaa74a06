import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** Where a program is, or null where it is not installed. Debian keeps servers where only administrators look. */
export async function findProgram(name: string, versionFlag: string): Promise<string | null> {
  for (const place of [name, `/usr/sbin/${name}`, `/usr/local/sbin/${name}`]) {
    try {
      await promisify(execFile)(place, [versionFlag])
      return place
    } catch {
      // not here
    }
  }
  return null
}
