import type { Readable } from 'node:stream'
import type { ByteRange } from '../../src/upload/byte-range.js'
import { content } from '../../src/upload/content.js'
import type { Engine } from '../../src/upload/engine.js'
import { notFound } from '../../src/upload/errors.js'
import type { Upload } from '../../src/upload/upload.js'

/** The bytes of a finished upload, or what a range has of them. Rejects as for an unknown id otherwise. */
export async function finishedContent(
  engine: Engine,
  { id, owner }: Pick<Upload, 'id' | 'owner'>,
  range?: ByteRange,
): Promise<Readable> {
  const found = await engine.registry.find(id, owner)
  if (found === null || found.upload.status !== 'complete') throw notFound()
  const length = found.upload.length ?? 0
  return content(engine, id, owner, {
    start: range?.start ?? 0,
    stop: Math.min(range?.stop ?? length, length),
  })
}
