import { isReservedName } from '../../src/upload/filename.js'
import type { PublishedDirectory } from './published-directory.js'
import { isUnfinishedName } from './published-name.js'

/** What nobody has touched for so long is of an attempt that will not go on. */
const STALE_MS = 24 * 60 * 60 * 1000

/**
 * Removes what dead attempts left and nobody repeated. A copy that was not placed yet is kept for its upload, as is
 * whatever may have no other name; and where somebody is at a file after all, its attempt fails and is repeated.
 */
export async function clearLeftovers(directory: PublishedDirectory): Promise<void> {
  const oldest = BigInt(Date.now() - STALE_MS) * 1_000_000n
  for (const name of (await directory.list()).filter(isReservedName)) {
    const file = await directory.look(name)
    if (file === null || !file.isFile() || file.ctimeNs > oldest) continue
    if (isUnfinishedName(name) || file.nlink > 1n) await directory.drop(name)
  }
}
