import { type Chunk, openChunk } from '../upload/chunk.js'
import { expired, isUploadError, notFound, UploadError } from '../upload/errors.js'
import { type ContentRange, isWithin, outside } from './content-range.js'
import type { Site } from './site.js'

/** Where the bytes of a chunk go. One that is refused takes none, and says why when all else was found to be right. */
export type ChunkPlace = Pick<Chunk, 'signal' | 'write' | 'finish' | 'abandon'>

/**
 * Claims the range of a chunk. What the real frago did not look at, such as overlaps and ends beyond the file, is
 * complained about last (`finish`), so that clients hear what they always heard first. Throws `upload_not_found`,
 * `upload_expired`, `length_conflict`, `wrong_protocol`, `upload_busy`.
 */
export async function placeFor(
  site: Site,
  id: string,
  owner: string | null,
  range: ContentRange,
): Promise<ChunkPlace> {
  if (!isWithin(range) || range.total > BigInt(Number.MAX_SAFE_INTEGER)) {
    await checkUpload(site, id, owner, range.total)
    return refusing(outside(range))
  }
  const [start, stop] = [Number(range.first), Number(range.last) + 1]
  try {
    const length = Number(range.total)
    return await openChunk(site.engine, { id, owner, protocol: 'frago', start, stop, length })
  } catch (error) {
    if (!isUploadError(error)) throw error
    if (error.code === 'length_conflict') throw totalMismatch(error)
    if (error.code !== 'range_conflict' && error.code !== 'upload_finished') throw error
    await checkUpload(site, id, owner, range.total)
    return refusing(error)
  }
}

/** What is asked of the upload before the body is looked at. `total` null: nothing that could be compared. */
export async function checkUpload(
  { engine }: Site,
  id: string,
  owner: string | null,
  total: bigint | null,
): Promise<void> {
  const found = await engine.registry.find(id, owner)
  if (found === null) throw notFound()
  const { status, length } = found.upload
  if (status === 'expired') throw expired()
  if (total !== null && (length === null || BigInt(length) !== total)) throw totalMismatch()
}

function totalMismatch(cause?: unknown): UploadError {
  return new UploadError('length_conflict', 'Total size mismatch', { cause })
}

function refusing(reason: Error): ChunkPlace {
  return {
    signal: new AbortController().signal,
    // Whoever writes reads the rest, as with a chunk that is longer than its range.
    write: async () => undefined,
    finish: () => Promise.reject(reason),
    abandon: async () => undefined,
  }
}
