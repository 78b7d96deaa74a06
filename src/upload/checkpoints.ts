import type { Logger } from './log.js'
import type { BlobWrite, Claim, UploadRegistry } from './ports.js'

/** Progress is recorded this often, so that a killed server loses no more than this much time of any upload. */
const INTERVAL_MS = 1_000

/** Most bytes of an upload that a killed server may lose (DESIGN, tus PATCH). */
const MOST_BYTES = 64 * 1024 * 1024

/** A checkpoint begins at half of that, so that it is through before the other half is full. */
const EVERY_BYTES = MOST_BYTES / 2

interface Running {
  readonly claim: Claim
  readonly write: BlobWrite
  /** Bytes of this write that a checkpoint has recorded. */
  recorded: number
  /** The latest count reported by the store. */
  stored: number
  /** A checkpoint of it that is under way. */
  checkpoint: Promise<void> | null
}

/**
 * Records the progress of all running writes of this node: one statement a tick for all of them, and one at once
 * for an upload that got far since. Never records the last byte of an upload, because that would look complete
 * without being: only `record` completes.
 */
export class Checkpoints {
  readonly #registry: UploadRegistry
  readonly #log: Logger
  readonly #running = new Set<Running>()
  #timer: NodeJS.Timeout | null = null

  constructor(registry: UploadRegistry, log: Logger) {
    this.#registry = registry
    this.#log = log
  }

  /** Follows a write until `stop` is called on what it returns. `stored` is to be called as bytes are stored. */
  follow(
    claim: Claim,
    write: BlobWrite,
  ): { stored(total: number): void | Promise<void>; stop(): Promise<void> } {
    const running: Running = { claim, write, recorded: 0, stored: 0, checkpoint: null }
    this.#running.add(running)
    this.#timer ??= setInterval(() => this.#tick(), INTERVAL_MS).unref()
    return {
      stored: (total) => this.#stored(running, total),
      stop: async () => {
        this.#running.delete(running)
        if (this.#running.size === 0 && this.#timer !== null) {
          clearInterval(this.#timer)
          this.#timer = null
        }
        // The record that follows must not race a checkpoint of the same claim for the same row.
        await running.checkpoint
      },
    }
  }

  #stored(running: Running, total: number): void | Promise<void> {
    running.stored = total
    const unrecorded = total - running.recorded
    if (unrecorded < EVERY_BYTES) return
    if (running.checkpoint === null) this.#begin([running])
    // The store goes on meanwhile, but not beyond what may be lost.
    if (unrecorded >= MOST_BYTES && running.checkpoint !== null) return running.checkpoint
  }

  #tick(): void {
    const due = [...this.#running].filter(
      (running) => running.stored > running.recorded && running.checkpoint === null,
    )
    if (due.length > 0) this.#begin(due)
  }

  #begin(due: readonly Running[]): void {
    const checkpoint = this.#checkpoint(due).finally(() => {
      for (const running of due) running.checkpoint = null
    })
    for (const running of due) running.checkpoint = checkpoint
  }

  /** One write whose bytes cannot be made durable must not keep the others from being recorded. */
  async #measured(running: Running): Promise<Awaited<ReturnType<typeof measure>>> {
    try {
      return await measure(running)
    } catch (error) {
      this.#log.warn({ err: error, upload: running.claim.uploadId }, 'bytes could not be made durable yet')
      return null
    }
  }

  /** A checkpoint that fails costs no byte: the next one, or the record at the end, says the same and more. */
  async #checkpoint(due: readonly Running[]): Promise<void> {
    try {
      const progress = (await Promise.all(due.map((each) => this.#measured(each)))).filter(
        (entry) => entry !== null,
      )
      if (progress.length === 0) return
      await this.#registry.checkpoint(progress)
      for (const { running, durable } of progress) running.recorded = durable
    } catch (error) {
      this.#log.warn({ err: error }, 'progress could not be recorded; it will be with the next checkpoint')
    }
  }
}

async function measure(
  running: Running,
): Promise<{ running: Running; durable: number; claim: Claim; stop: number } | null> {
  const durable = await running.write.durable()
  const stop = running.claim.start + durable
  const last = running.claim.length !== null && stop >= running.claim.length
  return durable > running.recorded && !last ? { running, durable, claim: running.claim, stop } : null
}
