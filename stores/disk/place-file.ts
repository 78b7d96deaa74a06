import type { BigIntStats } from 'node:fs'
import { UploadError } from '../../src/upload/errors.js'
import type { Placed, Publication, ReadyFile } from '../../src/upload/ports.js'
import { type Displaced, displace, resume } from './displace.js'
import type { FileCalls } from './file-calls.js'
import { identityOf, isSameFile } from './file-identity.js'
import type { PublishedDirectory } from './published-directory.js'
import { type PrivateNames, privateNames } from './published-name.js'
import { isSameContent } from './same-content.js'
import { hasCode } from './storage-error.js'

/** Whoever reads a published file cannot change it by mistake. */
const MODE = 0o444
const PERMISSIONS = 0o777n

/** So often may a stranger take the name again at the very moment it was made free. */
const ATTEMPTS = 100

/** A file that is to appear under a name. */
export interface Placing {
  readonly directory: PublishedDirectory
  readonly calls: FileCalls
  readonly ready: ReadyFile
  readonly filename: string
  readonly holder: Publication | null
  /** The file as it was placed by an earlier call; null when there was none. */
  readonly placed: BigIntStats | null
}

export interface PlacedFile extends Placed {
  readonly file: BigIntStats
}

/**
 * Gives a file its name, and whatever had that one another. Each step leaves every file a name, and a repeated call
 * finds out by looking how far the one before it came: nothing is known but what the directory shows.
 */
export async function placeFile(placing: Placing): Promise<PlacedFile> {
  const { directory, ready, filename, holder } = placing
  const names = privateNames(ready.uploadId)
  const earlier = await resume(directory, filename, names)
  const displaced: Displaced[] = earlier === null ? [] : [earlier]
  const { name, file } = await appear(placing, names, displaced)
  const holderName = holder && (await holderNameOf(directory, filename, holder, displaced))
  await directory.sync()
  if (ready.copy) await directory.drop(names.copy)
  return { name, identity: identityOf(file), holderName, file }
}

interface Appeared {
  readonly name: string
  readonly file: BigIntStats
}

async function appear(placing: Placing, names: PrivateNames, displaced: Displaced[]): Promise<Appeared> {
  const { directory, ready, filename } = placing
  const file = await directory.lookAt(ready.path)
  if (file === null) return whereItWasPlaced(placing)
  const earlier =
    file.nlink > 1n ? await nameOf(directory, filename, (other) => isSameFile(other, file)) : null
  if (earlier !== null) return { name: earlier, file }
  if ((file.mode & PERMISSIONS) !== BigInt(MODE)) await directory.setMode(ready.path, MODE)
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    if (await link(directory, ready, filename)) return { name: filename, file }
    const found = await directory.look(filename)
    if (found === null) continue
    if (isSameFile(found, file)) return { name: filename, file }
    if (await isOurCopy(placing, file, found)) return { name: filename, file: found }
    const outcome = await displace(directory, filename, names)
    // As if it were the older one.
    if (outcome === 'stays') return { name: await directory.linkDisplaced(ready.path, filename), file }
    if (outcome !== null) displaced.push(outcome)
  }
  throw new Error('the name of the finished file is taken again and again')
}

/** A copy has lost its private name when it was placed, and yet may be asked for again: the database did not hear of it. */
async function whereItWasPlaced({ directory, filename, placed }: Placing): Promise<Appeared> {
  if (placed === null) throw gone()
  const name = await nameOf(directory, filename, (file) => identityOf(file) === identityOf(placed))
  if (name === null) throw gone()
  return { name, file: placed }
}

/**
 * The name a file has already: an earlier attempt got so far, and perhaps another upload displaced it since, for which
 * it was a stranger's. Null when it has none.
 */
async function nameOf(
  directory: PublishedDirectory,
  filename: string,
  fits: (file: BigIntStats) => boolean,
): Promise<string | null> {
  const there = await directory.look(filename)
  return there !== null && fits(there) ? filename : directory.findDisplaced(filename, fits)
}

/** False when the name is taken. */
async function link(directory: PublishedDirectory, ready: ReadyFile, name: string): Promise<boolean> {
  try {
    return await directory.link(ready.path, name)
  } catch (error) {
    throw hasCode(error, 'ENOENT') ? gone(error) : error
  }
}

/**
 * Whether the file in the way is a copy that an earlier attempt placed, of which nobody heard: a crash, or a database
 * that was away, came in between. It has no name left to know it by, so it is known by everything else.
 */
async function isOurCopy(
  { directory, calls, ready, filename, holder }: Placing,
  ours: BigIntStats,
  found: BigIntStats,
): Promise<boolean> {
  if (!ready.copy || holder?.identity === identityOf(found)) return false
  const alike =
    found.isFile() &&
    found.nlink === 1n &&
    found.size === ours.size &&
    found.uid === ours.uid &&
    (found.mode & PERMISSIONS) === BigInt(MODE)
  if (!alike) return false
  try {
    return await isSameContent(calls, ready.path, directory.path(filename), Number(ours.size))
  } catch (error) {
    // Taken away during the look.
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}

/** The name the holder has now if it is not where it was: a crash may have come between its displacement and its row. */
async function holderNameOf(
  directory: PublishedDirectory,
  filename: string,
  holder: Publication,
  displaced: readonly Displaced[],
): Promise<string | null> {
  const fits = (file: BigIntStats) => identityOf(file) === holder.identity
  const known = displaced.find(({ file }) => fits(file))
  if (known !== undefined) return known.name
  const name = await nameOf(directory, filename, fits)
  return name === filename ? null : name
}

function gone(cause?: unknown): UploadError {
  return new UploadError('blob_gone', 'The finished file is no longer where it was made ready.', { cause })
}
