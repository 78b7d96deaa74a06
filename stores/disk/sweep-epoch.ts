import type { Dirent } from 'node:fs'
import { readdir, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isUploadId } from '../../src/upload/upload.js'
import type { BlobFiles } from './blob-files.js'
import { removeEmpty } from './remove.js'
import { epochPath } from './safe-path.js'
import { hasCode, storageError } from './storage-error.js'

const FAN_OUT = /^[0-9a-f]{2}$/
/** Ids per question to the registry. */
const BATCH = 500

/**
 * Removes the files of a dead epoch that have no row, and then its empty directories. What does not look like a blob
 * was put there by somebody else, and stays.
 */
export async function sweepEpoch(
  files: BlobFiles,
  epoch: number,
  known: (ids: readonly string[]) => Promise<ReadonlySet<string>>,
): Promise<number> {
  const directory = epochPath(files.directory, epoch)
  files.directories.forget(directory)
  let removed = 0
  for (const fanOut of await fanOuts(directory)) removed += await sweepFanOut(files, fanOut, known)
  // The sweep is not repeated once it is recorded, so what it removed must not come back.
  const gone = await removeEmpty(directory)
  await sync(files, gone ? files.directory : directory)
  return removed
}

async function sweepFanOut(
  files: BlobFiles,
  fanOut: string,
  known: (ids: readonly string[]) => Promise<ReadonlySet<string>>,
): Promise<number> {
  const ids = (await list(fanOut)).map(({ name }) => name).filter((name) => isBlobOf(fanOut, name))
  let removed = 0
  for (let from = 0; from < ids.length; from += BATCH) {
    const batch = ids.slice(from, from + BATCH)
    const kept = await known(batch)
    for (const id of batch) if (!kept.has(id) && (await unlinked(join(fanOut, id)))) removed += 1
  }
  if (!(await removeEmpty(fanOut)) && removed > 0) await sync(files, fanOut)
  return removed
}

async function fanOuts(directory: string): Promise<readonly string[]> {
  const entries = await list(directory)
  return entries
    .filter((entry) => entry.isDirectory() && FAN_OUT.test(entry.name))
    .map(({ name }) => join(directory, name))
}

function isBlobOf(fanOut: string, name: string): boolean {
  return isUploadId(name) && basename(fanOut) === name.slice(0, 2)
}

async function list(directory: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true })
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw storageError(error)
  }
}

/** False when somebody else was faster. */
async function unlinked(path: string): Promise<boolean> {
  try {
    await unlink(path)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw storageError(error)
  }
}

async function sync(files: BlobFiles, path: string): Promise<void> {
  try {
    await files.directories.sync(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw storageError(error)
  }
}
