import { readdir, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { isUploadId } from '../../../src/upload/upload.js'

/** A blob's file: `<epoch>/<first two digits>/<id>`. */
export interface StoredFile {
  readonly epoch: number
  readonly id: string
  readonly size: number
}

export interface Stored {
  readonly files: readonly StoredFile[]
  /** Paths of what is no blob, relative to the directory. */
  readonly strangers: readonly string[]
}

/** Every file under a directory of blobs. */
export async function listStored(directory: string): Promise<Stored> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files: StoredFile[] = []
  const strangers: string[] = []
  for (const entry of entries.filter((each) => !each.isDirectory())) {
    const path = join(entry.parentPath, entry.name)
    const [epoch = '', fanOut, id = '', ...more] = relative(directory, path).split(sep)
    if (!/^[1-9]\d*$/.test(epoch) || !isUploadId(id) || fanOut !== id.slice(0, 2) || more.length > 0) {
      strangers.push(relative(directory, path))
      continue
    }
    files.push({ epoch: Number(epoch), id, size: (await stat(path)).size })
  }
  return { files, strangers }
}
