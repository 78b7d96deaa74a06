import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import type { DataStore, Upload } from '@tus/utils'
import type { Blob } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import type { BlobUploads } from './blob-uploads.js'
import { isPlainFile } from './plain-file.js'
import type { Sealing } from './sealing.js'
import { brokenPromise, isAbsent, storeError } from './store-error.js'

/** Bytes per read of a plain file. The default of 64 KiB is slower, more only takes memory. */
const READ_BYTES = 512 * 1024

/** A @tus store whose uploads can be read back. Not part of `DataStore`, but FileStore and S3Store have it. */
export interface ReadableDataStore extends DataStore {
  read(id: string): Readable | Promise<Readable>
}

export function isReadable(store: DataStore): store is ReadableDataStore {
  return 'read' in store && typeof store.read === 'function'
}

export interface BlobSource {
  readonly uploads: BlobUploads
  readonly store: ReadableDataStore
  readonly sealing: Sealing
}

/** Bytes `[start, stop)` of a blob, as a stream. */
export function readBlob(source: BlobSource, blob: Blob, start: number, stop: number): Readable {
  return Readable.from(bytes(source, blob, start, stop), { objectMode: false, highWaterMark: 1 })
}

async function* bytes(source: BlobSource, blob: Blob, start: number, stop: number): AsyncGenerator<Buffer> {
  const found = await source.uploads.find(blob)
  if (found === null) throw gone()
  if (start === stop) return
  if (found.offset < stop) throw brokenPromise()
  let stream: Readable | null = null
  try {
    const opened = await open(source, blob, found, start, stop)
    stream = opened.stream
    yield* cut(stream, start - opened.at, stop - start)
  } catch (error) {
    throw isMissing(error) ? gone(error) : storeError(error)
  } finally {
    stream?.destroy()
  }
}

/** A stream that begins at byte `at`, which is `start` or before it. */
async function open(
  { store, sealing }: BlobSource,
  blob: Blob,
  found: Upload,
  start: number,
  stop: number,
): Promise<{ stream: Readable; at: number }> {
  // FileStore's own `read` knows no ranges: the end of a large file would cost reading all of it.
  if (isPlainFile(found)) {
    return {
      stream: createReadStream(found.storage.path, { start, end: stop - 1, highWaterMark: READ_BYTES }),
      at: start,
    }
  }
  await sealing.seal(blob, found)
  try {
    return { stream: await store.read(blob.id), at: 0 }
  } catch (error) {
    // Whoever began to seal it may have died on the way.
    await sealing.finish(blob, found, error)
    return { stream: await store.read(blob.id), at: 0 }
  }
}

/** `count` bytes of the stream after the first `skip`. Fails when there are fewer. */
async function* cut(stream: Readable, skip: number, count: number): AsyncGenerator<Buffer> {
  let toSkip = skip
  let left = count
  for await (const chunk of stream) {
    const bytes = (chunk as Buffer).subarray(toSkip, toSkip + left)
    toSkip -= Math.min(toSkip, (chunk as Buffer).length)
    left -= bytes.length
    if (bytes.length > 0) yield bytes
    if (left === 0) return
  }
  throw brokenPromise()
}

function gone(cause?: unknown): UploadError {
  return new UploadError('blob_gone', 'The bytes are no longer there.', { cause })
}

function isMissing(error: unknown): boolean {
  return isAbsent(error) || (error instanceof Error && 'code' in error && error.code === 'ENOENT')
}
