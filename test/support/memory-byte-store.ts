import { Readable } from 'node:stream'
import type { Blob, Extent } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import type { BlobWrite, ByteStore, WriteOptions, WriteResult } from '../../src/upload/ports.js'
import { Intake } from '../../stores/disk/intake.js'

interface Content {
  readonly epoch: number
  bytes: Buffer
}

/** A byte store whose blobs are gone with the test. What it stores is as durable as it will ever be. */
export class MemoryByteStore implements ByteStore {
  readonly #contents = new Map<string, Content>()

  write(blob: Blob, position: number, source: Readable, options: WriteOptions): BlobWrite {
    const intake = new Intake(source, options, { bytes: 0 })
    const progress = { stored: 0 }
    const failed = (error: Error): WriteResult => ({ stored: progress.stored, ended: 'failed', error })
    const done = this.#fill(blob, position, intake, options, progress).catch((error: Error) => {
      intake.drop([])
      return failed(error)
    })
    return { done, durable: async () => progress.stored }
  }

  read(blob: Blob, start: number, stop: number): Readable {
    return Readable.from(this.#pieces(blob, start, stop), { objectMode: false })
  }

  async remove(blob: Blob): Promise<void> {
    this.#contents.delete(blob.id)
  }

  async isLost(blob: Blob): Promise<boolean> {
    return !this.#contents.has(blob.id)
  }

  async assemble(
    target: Blob,
    extents: readonly Extent[],
    options: Parameters<ByteStore['assemble']>[2],
  ): Promise<'done' | 'stopped'> {
    const content = this.#open(target, options.fresh)
    for (const { start, stop, blob, blobOffset } of extents) {
      if (stop <= options.copied) continue
      if (options.signal?.aborted) return 'stopped'
      put(content, start, [this.#slice(blob, blobOffset, blobOffset + stop - start)])
      if (!(await options.onCopied(stop))) return 'stopped'
    }
    return 'done'
  }

  async sweepEpoch(
    epoch: number,
    known: (ids: readonly string[]) => Promise<ReadonlySet<string>>,
  ): Promise<number> {
    const ids = [...this.#contents].filter(([, content]) => content.epoch === epoch).map(([id]) => id)
    const kept = await known(ids)
    return ids.filter((id) => !kept.has(id) && this.#contents.delete(id)).length
  }

  async check(): Promise<void> {
    // Memory is always there.
  }

  async #fill(
    blob: Blob,
    position: number,
    intake: Intake,
    options: WriteOptions,
    progress: { stored: number },
  ): Promise<WriteResult> {
    const content = this.#open(blob, options.fresh)
    for (;;) {
      const batch = intake.take()
      if (batch.length > 0) {
        progress.stored += put(content, position + progress.stored, batch)
        await options.onStored?.(progress.stored)
      } else if (intake.ended === null) {
        await intake.gathered()
      } else {
        if (intake.error !== null) throw intake.error
        return { stored: progress.stored, ended: intake.ended }
      }
    }
  }

  #open(blob: Blob, fresh: boolean): Content {
    const found = this.#contents.get(blob.id)
    if (found !== undefined) return found
    if (!fresh) throw new UploadError('blob_gone', 'The bytes are no longer there.')
    const made = { epoch: blob.epoch, bytes: Buffer.alloc(0) }
    this.#contents.set(blob.id, made)
    return made
  }

  *#pieces(blob: Blob, start: number, stop: number): Generator<Buffer> {
    const bytes = this.#slice(blob, start, stop)
    for (let from = 0; from < bytes.length; from += 64 * 1024) yield bytes.subarray(from, from + 64 * 1024)
  }

  #slice(blob: Blob, start: number, stop: number): Buffer {
    const { bytes } = this.#open(blob, false)
    if (stop > bytes.length) {
      throw new UploadError('storage_failed', 'The storage holds fewer bytes than were recorded.')
    }
    return bytes.subarray(start, stop)
  }
}

/** Puts the buffers where they belong, into a larger buffer if need be. Returns how many bytes they were. */
function put(content: Content, position: number, buffers: readonly Buffer[]): number {
  const added = Buffer.concat(buffers)
  const length = Math.max(content.bytes.length, position + added.length)
  const bytes = Buffer.alloc(length)
  content.bytes.copy(bytes)
  added.copy(bytes, position)
  content.bytes = bytes
  return added.length
}
