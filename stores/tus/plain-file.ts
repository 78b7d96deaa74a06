import { open, readdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { DataStore, Upload } from '@tus/utils'
import { storeError } from './store-error.js'

/** An upload whose bytes are one ordinary file, as FileStore keeps them. */
export interface PlainFile extends Upload {
  storage: { type: 'file'; path: string }
}

/**
 * What the store itself says about an upload in `storage`. Bytes of a plain file can be written again and read at
 * any position and at any time; any other upload (S3, GCS, Azure) is only appended to, and read when it is finished.
 */
export function isPlainFile(upload: Upload): upload is PlainFile {
  return upload.storage?.type === 'file'
}

/** FileStore leaves syncing to the system: this makes bytes, and the name of the file, outlive a power cut. */
export async function syncPlainFile({ storage }: PlainFile): Promise<void> {
  await withHandle(storage.path, (file) => file.datasync())
  await withHandle(dirname(storage.path), (directory) => directory.sync())
}

/** Whether FileStore's directory has what it knows of an upload (`<id>.json`), and not the upload's bytes. */
export async function bytesAloneAreGone(store: DataStore, id: string): Promise<boolean> {
  const directory: unknown = Reflect.get(store, 'directory')
  if (typeof directory !== 'string') return false
  const names = await readdir(directory).catch((error: unknown) => {
    throw storeError(error)
  })
  return names.includes(`${id}.json`) && !names.includes(id)
}

async function withHandle(
  path: string,
  use: (handle: Awaited<ReturnType<typeof open>>) => Promise<void>,
): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await use(handle)
  } finally {
    await handle.close()
  }
}
