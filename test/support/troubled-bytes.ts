import { Readable } from 'node:stream'
import type { Blob, Extent } from '../../src/upload/blob.js'
import { UploadError } from '../../src/upload/errors.js'
import type { BlobWrite, WriteOptions, WriteResult } from '../../src/upload/ports.js'
import { MemoryByteStore } from './memory-byte-store.js'

/** Short texts are read byte by byte; long ones in so many steps, so that they take no longer. */
const MOST_STEPS = 64

/** Bytes in memory with the troubles a disk has, and with steps at which a test can let something happen. */
export class TroubledBytes extends MemoryByteStore {
  /** Bytes the store still takes before it is full. */
  room = Infinity
  /** When set, nothing can be removed. */
  stuck = false
  /** Epochs whose files cannot be swept. */
  readonly unsweepable = new Set<number>()
  /** Called before each piece that `read` yields and each extent that `assemble` copies. */
  onStep: () => void | Promise<void> = () => undefined
  readonly #blobs = new Map<string, Blob>()
  #stored = 0
  readonly #waiting = new Set<{ readonly count: number; readonly resolve: () => void }>()

  /** Every blob that has bytes, or a place for them. */
  get blobs(): readonly Blob[] {
    return [...this.#blobs.values()]
  }

  /** Resolves when so many bytes were stored, in all. */
  arrived(count: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stored >= count) resolve()
      else this.#waiting.add({ count, resolve })
    })
  }

  override write(blob: Blob, position: number, source: Readable, options: WriteOptions): BlobWrite {
    if (options.fresh) this.#blobs.set(blob.id, blob)
    const limit = Math.min(options.limit, this.room)
    let before = 0
    const write = super.write(blob, position, source, {
      ...options,
      limit,
      onStored: async (total) => {
        await options.onStored?.(total)
        this.#count(total - before)
        before = total
      },
    })
    const done = write.done.then((result): WriteResult => {
      this.room -= result.stored
      const full = result.ended === 'limit' && limit < options.limit
      if (!full) return result
      const error = new UploadError('storage_full', 'The disk is full.')
      return { stored: result.stored, ended: 'failed', error }
    })
    return { ...write, done }
  }

  override read(blob: Blob, start: number, stop: number): Readable {
    return Readable.from(this.#bytes(blob, start, stop), { objectMode: false })
  }

  override async remove(blob: Blob): Promise<void> {
    if (this.stuck) throw new UploadError('storage_failed', 'The disk is stuck.')
    await this.lose(blob)
  }

  /** Takes the bytes away, as a disk may that nobody asked to. */
  async lose(blob: Blob): Promise<void> {
    this.#blobs.delete(blob.id)
    await super.remove(blob)
  }

  override async assemble(
    target: Blob,
    extents: readonly Extent[],
    options: Parameters<MemoryByteStore['assemble']>[2],
  ): Promise<'done' | 'stopped'> {
    if (options.fresh) this.#blobs.set(target.id, target)
    let { fresh } = options
    for (const extent of extents.filter(({ stop }) => stop > options.copied)) {
      await this.onStep()
      const outcome = await super.assemble(target, [extent], { ...options, fresh })
      if (outcome === 'stopped') return outcome
      fresh = false
    }
    return 'done'
  }

  override async sweepEpoch(
    epoch: number,
    known: (ids: readonly string[]) => Promise<ReadonlySet<string>>,
  ): Promise<number> {
    if (this.unsweepable.has(epoch)) throw new UploadError('storage_failed', 'The disk is stuck.')
    let kept: ReadonlySet<string> = new Set()
    const swept = await super.sweepEpoch(epoch, async (ids) => {
      kept = await known(ids)
      return kept
    })
    for (const blob of this.blobs) if (blob.epoch === epoch && !kept.has(blob.id)) this.#blobs.delete(blob.id)
    return swept
  }

  async *#bytes(blob: Blob, start: number, stop: number): AsyncGenerator<Buffer> {
    const step = Math.max(1, Math.ceil((stop - start) / MOST_STEPS))
    for (let at = start; at < stop; at += step) {
      await this.onStep()
      for await (const bytes of super.read(blob, at, Math.min(stop, at + step))) yield bytes as Buffer
    }
  }

  #count(bytes: number): void {
    this.#stored += bytes
    for (const waiter of this.#waiting) {
      if (waiter.count > this.#stored) continue
      this.#waiting.delete(waiter)
      waiter.resolve()
    }
  }
}
