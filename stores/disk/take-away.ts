import type { BigIntStats } from 'node:fs'
import type { PublishedDirectory } from './published-directory.js'

type Fits = (file: BigIntStats) => boolean

/**
 * Takes the name from a file that fits. Unlinking it would hit whatever a stranger puts there between the look and the
 * deed, so it is renamed to the private name `taken` first, and looked at there. False when it is not there.
 */
export async function takeAway(
  directory: PublishedDirectory,
  filename: string,
  taken: string,
  fits: Fits,
): Promise<boolean> {
  const there = await directory.look(filename)
  if (there === null || !fits(there)) return false
  if (!(await directory.rename(filename, taken))) return false
  return finishTaking(directory, filename, taken, fits)
}

/** The rest of it, also of an attempt that was interrupted. True when a file that fits has lost its name. */
export async function finishTaking(
  directory: PublishedDirectory,
  filename: string,
  taken: string,
  fits: Fits,
): Promise<boolean> {
  const file = await directory.look(taken)
  if (file === null) return false
  const fitting = fits(file)
  if (!fitting) await giveBack(directory, filename, taken, file)
  await directory.drop(taken)
  return fitting
}

/** A stranger's: it is found under its name again if that is free, otherwise as one that was displaced. */
async function giveBack(
  directory: PublishedDirectory,
  filename: string,
  taken: string,
  file: BigIntStats,
): Promise<void> {
  const path = directory.path(taken)
  // Only a rename gives a directory a name; it fails where there is something.
  if (file.isDirectory()) await directory.rename(taken, filename)
  else if (!(await directory.link(path, filename))) await directory.linkDisplaced(path, filename)
  await directory.sync()
}
