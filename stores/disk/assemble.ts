import type { Blob, Extent } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import { extentsLength } from '../../src/upload/extents-length.js'
import type { AssembleOptions } from '../../src/upload/ports.js'
import type { BlobFiles } from './blob-files.js'
import { storageError } from './storage-error.js'

/** How much may be copied again after a crash: the copy is synced and reported after either. */
const REPORT_BYTES = 256 * 1024 * 1024
const REPORT_MILLISECONDS = 1000

export interface DiskAssembleOptions extends AssembleOptions {
  readonly blockBytes: number
}

interface Block {
  readonly bytes: Buffer
  readonly position: number
}

/**
 * Copies extents into `target`, one block being read while the one before it is written, so that memory holds two.
 * It syncs in every durability: the blobs it copies from, which may have been on the platter for days, are removed
 * afterwards.
 */
export async function assemble(
  files: BlobFiles,
  target: Blob,
  extents: readonly Extent[],
  options: DiskAssembleOptions,
): Promise<'done' | 'stopped'> {
  const total = extentsLength(extents, options.copied)
  const { fd } = await files.openForWriting(target, options.fresh)
  try {
    if (options.fresh) await files.syncName(target)
    return await copyExtents(files, fd, extents, { ...options, total })
  } finally {
    await files.calls.close(fd).catch((error) => {
      throw storageError(error)
    })
  }
}

/** Copies extents into an open file, of which `total` bytes come about, and syncs it. */
export async function copyExtents(
  files: BlobFiles,
  fd: number,
  extents: readonly Extent[],
  options: Omit<DiskAssembleOptions, 'fresh'> & { readonly total: number },
): Promise<'done' | 'stopped'> {
  let copied = options.copied
  let reported = { bytes: copied, at: Date.now() }
  let writing: Promise<void> = Promise.resolve()
  try {
    for await (const block of blocks(files, extents, options)) {
      await writing
      copied = block.position
      if (options.signal?.aborted) return 'stopped'
      if (copied - reported.bytes >= REPORT_BYTES || Date.now() - reported.at >= REPORT_MILLISECONDS) {
        if (!(await report(files, fd, copied, options))) return 'stopped'
        reported = { bytes: copied, at: Date.now() }
      }
      writing = write(files, fd, block)
      // It is awaited above or below; a failure during the next read is not an unhandled one.
      writing.catch(() => undefined)
    }
  } finally {
    await writing
  }
  if (options.signal?.aborted) return 'stopped'
  if (options.total === reported.bytes) return 'done'
  return (await report(files, fd, options.total, options)) ? 'done' : 'stopped'
}

async function report(
  files: BlobFiles,
  fd: number,
  copied: number,
  { onCopied }: Pick<AssembleOptions, 'onCopied'>,
): Promise<boolean> {
  try {
    await files.calls.fdatasync(fd)
  } catch (error) {
    throw storageError(error)
  }
  return onCopied(copied)
}

/** The content from `copied` on, in blocks that never span two extents. */
async function* blocks(
  files: BlobFiles,
  extents: readonly Extent[],
  { copied, blockBytes }: Pick<DiskAssembleOptions, 'copied' | 'blockBytes'>,
): AsyncGenerator<Block> {
  // Two buffers in turn: a block is asked for only when the one before the last is written.
  let [buffer, other] = [Buffer.allocUnsafeSlow(blockBytes), Buffer.allocUnsafeSlow(blockBytes)]
  for (const extent of extents) {
    if (extent.stop <= copied) continue
    const fd = await files.openForReading(extent.blob)
    try {
      for (let position = Math.max(copied, extent.start); position < extent.stop; ) {
        const bytes = buffer.subarray(0, extent.stop - position)
        await fill(files, fd, bytes, extent.blobOffset + position - extent.start)
        yield { bytes, position }
        position += bytes.length
        ;[buffer, other] = [other, buffer]
      }
    } finally {
      await files.calls.close(fd)
    }
  }
}

async function fill(files: BlobFiles, fd: number, bytes: Buffer, position: number): Promise<void> {
  try {
    for (let filled = 0; filled < bytes.length; ) {
      const count = await files.calls.read(fd, bytes.subarray(filled), position + filled)
      if (count === 0) {
        throw new UploadError('storage_failed', 'The storage holds fewer bytes than were recorded.')
      }
      filled += count
    }
  } catch (error) {
    throw storageError(error)
  }
}

async function write(files: BlobFiles, fd: number, { bytes, position }: Block): Promise<void> {
  try {
    for (let written = 0; written < bytes.length; ) {
      const count = await files.calls.writev(fd, [bytes.subarray(written)], position + written)
      if (count === 0) throw new UploadError('storage_failed', 'The storage took no more bytes.')
      written += count
    }
  } catch (error) {
    throw storageError(error)
  }
}
