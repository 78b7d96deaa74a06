import { Readable } from 'node:stream'
import type { Blob, Extent } from '../../src/upload/blob.js'
import { extentsLength } from '../../src/upload/extents-length.js'
import type { AssembleOptions } from '../../src/upload/ports.js'
import { type BlobSource, readBlob } from './blob-read.js'
import { TusBlobWrite } from './blob-write.js'
import { isPlainFile } from './plain-file.js'
import { prepare } from './prepare.js'
import { brokenPromise } from './store-error.js'

/** How much is copied between two reports: what a crash may cost. */
const RUN_BYTES = 256 * 1024 * 1024

/** Copies extents into `target` by reading and appending, through this process. */
export async function assemble(
  source: BlobSource,
  target: Blob,
  extents: readonly Extent[],
  options: AssembleOptions,
): Promise<'done' | 'stopped'> {
  const total = extentsLength(extents, options.copied)
  let copied = await begin(source, target, total, options)
  while (copied < total) {
    if (options.signal?.aborted) return 'stopped'
    copied += await append(source, target, extents, {
      start: copied,
      stop: Math.min(total, copied + RUN_BYTES),
      signal: options.signal,
    })
    if (!(await options.onCopied(copied))) return 'stopped'
  }
  return options.signal?.aborted ? 'stopped' : 'done'
}

/**
 * Where to go on. Bytes beyond what was reported are of the same content, so that a store that cannot write over them
 * keeps them; and one that takes no more because it was read from lacks nothing when all is there.
 */
async function begin(
  { uploads }: BlobSource,
  target: Blob,
  total: number,
  { copied, fresh }: AssembleOptions,
): Promise<number> {
  if (!fresh && (await uploads.get(target)).offset >= total && copied === total) return total
  const found = await prepare(uploads, { blob: target, position: copied }, fresh)
  return isPlainFile(found) ? copied : found.offset
}

interface Run {
  readonly start: number
  readonly stop: number
  readonly signal: AbortSignal | undefined
}

/** Appends one run of the content. Resolves with how many bytes that were. */
async function append(
  source: BlobSource,
  target: Blob,
  extents: readonly Extent[],
  { start, stop, signal }: Run,
): Promise<number> {
  const reading = Readable.from(content(source, extents, start, stop), {
    objectMode: false,
    highWaterMark: 1,
  })
  // To a write, a source that breaks is no failure; here it is, and the caller must know whether a blob is gone.
  let broken: Error | null = null
  reading.on('error', (error) => {
    broken = error
  })
  const { stored, error } = await new TusBlobWrite(
    source.uploads,
    { blob: target, position: start },
    reading,
    {
      limit: stop - start,
      fresh: false,
      ...(signal && { signal }),
    },
  ).done
  reading.destroy()
  if (broken ?? error) throw broken ?? error
  if (stored < stop - start && !signal?.aborted) throw brokenPromise()
  return stored
}

/** Bytes `[start, stop)` of the content the extents make up. */
async function* content(
  source: BlobSource,
  extents: readonly Extent[],
  start: number,
  stop: number,
): AsyncGenerator<Buffer> {
  for (const extent of extents) {
    const from = Math.max(start, extent.start)
    const to = Math.min(stop, extent.stop)
    if (from >= to) continue
    const shift = extent.blobOffset - extent.start
    yield* readBlob(source, extent.blob, from + shift, to + shift)
  }
}
