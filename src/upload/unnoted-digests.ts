import type { Digest } from './digest.js'
import type { Logger } from './log.js'
import { patiently } from './patience.js'
import type { UploadRegistry } from './ports.js'
import type { UploadId } from './upload.js'

export interface UnnotedDigestsParts {
  readonly registry: Pick<UploadRegistry, 'noteDigest'>
  readonly log: Logger
}

/** A digest that was handed out with its token. */
export interface UnnotedDigest {
  readonly id: UploadId
  readonly digest: Digest
  readonly token: number
}

interface Entry extends UnnotedDigest {
  readonly timer: NodeJS.Timeout
  settled: Promise<void> | null
}

/** Digests that were handed out unnoted, each until somebody has it noted, or a few seconds are over. */
export class UnnotedDigests {
  readonly #parts: UnnotedDigestsParts
  readonly #milliseconds: number
  readonly #entries = new Map<string, Entry>()

  /** `milliseconds`: for so long a digest waits for somebody to have it noted. */
  constructor(parts: UnnotedDigestsParts, milliseconds: number) {
    this.#parts = parts
    this.#milliseconds = milliseconds
  }

  add(key: string, unnoted: UnnotedDigest): void {
    const timer = setTimeout(() => void this.settle(key), this.#milliseconds).unref()
    this.#entries.set(key, { ...unnoted, timer, settled: null })
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  /** Whether the digest of this key is the one handed out with this token. */
  isOf(key: string, token: number): boolean {
    return this.#entries.get(key)?.token === token
  }

  /** Notes what was handed out, if nobody did yet. The registry says who was right about a content that changed. */
  async settle(key: string): Promise<void> {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    clearTimeout(entry.timer)
    entry.settled ??= this.#note(entry).finally(() => this.#entries.delete(key))
    await entry.settled
  }

  async settleAll(): Promise<void> {
    await Promise.all([...this.#entries.keys()].map((key) => this.settle(key)))
  }

  async #note({ id, token, digest }: UnnotedDigest): Promise<void> {
    try {
      await patiently(() => this.#parts.registry.noteDigest(id, token, digest))
    } catch (error) {
      this.#parts.log.warn({ err: error, upload: id }, 'a digest could not be noted; it is worked out again')
    }
  }
}
