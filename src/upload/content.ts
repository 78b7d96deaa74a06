import { Readable } from 'node:stream'
import type { Engine } from './engine.js'
import { isGone, notFound, released, UploadError } from './errors.js'
import { extentsWithin } from './extents-within.js'
import type { UploadId } from './upload.js'

/** Extents may change under a reader that often without a byte of progress before it gives up. */
const MOVES = 10

/**
 * Bytes `[start, stop)` of a complete upload. A reader whose blob goes away under it (an assembly replaced the
 * extents) resolves the rest again and goes on at the same byte. Fails with `upload_not_found` when the upload
 * itself is gone, `content_released` when only its published file is left.
 */
export function content(
  engine: Engine,
  id: UploadId,
  owner: string | null,
  range: { readonly start: number; readonly stop: number },
): Readable {
  return Readable.from(pieces(engine, id, owner, range), { objectMode: false, highWaterMark: 1 })
}

async function* pieces(
  engine: Engine,
  id: UploadId,
  owner: string | null,
  range: { readonly start: number; readonly stop: number },
): AsyncGenerator<Buffer> {
  let at = range.start
  let moves = 0
  while (at < range.stop) {
    const extents = await engine.registry.extents(id, owner)
    if (extents === null) throw notFound()
    if (extents.length === 0) throw released()
    try {
      for (const part of extentsWithin(extents, at, range.stop)) {
        for await (const bytes of engine.bytes.read(part.blob, part.from, part.to)) {
          at += (bytes as Buffer).length
          moves = 0
          yield bytes as Buffer
        }
      }
      if (at < range.stop) throw new UploadError('storage_failed', 'The content ended too early.')
    } catch (error) {
      if (!isGone(error) || ++moves > MOVES) throw error
    }
  }
}
