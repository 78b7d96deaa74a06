import type { BigIntStats } from 'node:fs'
import { isSameFile } from './file-identity.js'
import { isUnlinkable } from './name-calls.js'
import type { PublishedDirectory } from './published-directory.js'
import type { PrivateNames } from './published-name.js'
import { hasCode } from './storage-error.js'
import { finishTaking, takeAway } from './take-away.js'

export interface Displaced {
  readonly file: BigIntStats
  /** The name it has now. */
  readonly name: string
}

/**
 * Gives whatever has the name another one. While it is at that, the file has a private name too: so a repeated attempt
 * knows that there was an earlier one, and looks for the name that may have come about by then. Null when somebody took
 * it away; `stays` when it cannot have another name.
 */
export async function displace(
  directory: PublishedDirectory,
  filename: string,
  names: PrivateNames,
): Promise<Displaced | 'stays' | null> {
  // macOS would link to what a symlink leads to.
  const there = process.platform === 'darwin' ? await directory.look(filename) : null
  if (there?.isSymbolicLink()) return 'stays'
  let linked: boolean
  try {
    linked = await directory.link(directory.path(filename), names.displaced)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    if (isUnlinkable(error)) return 'stays'
    throw error
  }
  return linked ? carryOn(directory, filename, names, false) : resume(directory, filename, names)
}

/** Finishes what an earlier attempt began. Null when it left nothing to do. */
export async function resume(
  directory: PublishedDirectory,
  filename: string,
  names: PrivateNames,
): Promise<Displaced | null> {
  const displaced = await carryOn(directory, filename, names, true)
  // Whatever is left there now is none of ours.
  await finishTaking(directory, filename, names.taken, () => false)
  return displaced
}

async function carryOn(
  directory: PublishedDirectory,
  filename: string,
  names: PrivateNames,
  again: boolean,
): Promise<Displaced | null> {
  const file = await directory.look(names.displaced)
  if (file === null) return null
  const same = (other: BigIntStats) => isSameFile(file, other)
  const earlier = again ? await directory.findDisplaced(filename, same) : null
  const name = earlier ?? (await directory.linkDisplaced(directory.path(names.displaced), filename))
  // One name must outlive a power cut before the other goes.
  await directory.sync()
  if (again) await finishTaking(directory, filename, names.taken, same)
  await takeAway(directory, filename, names.taken, same)
  await directory.drop(names.displaced)
  return { file, name }
}
