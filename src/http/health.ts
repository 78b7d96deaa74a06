import { isUploadError } from '../upload/errors.js'
import type { Logger } from '../upload/log.js'

/** What the server needs to be of use, by the name a reader of `/readyz` sees. Each rejects while it is away. */
export type ReadinessChecks = Readonly<Record<string, () => Promise<void>>>

export interface ReadinessReport {
  readonly ready: boolean
  readonly parts: Readonly<Record<string, 'up' | string>>
}

/** Below the usual time-out of probes, so that they read which part is down instead of giving up. */
const LIMIT_MS = 2_000

/** Whether requests can be served now. Probes that come together share one look. */
export class Readiness {
  readonly #checks: ReadinessChecks
  readonly #log: Logger
  readonly #limit: number
  #draining = false
  #looking: Promise<ReadinessReport> | null = null
  #wasReady = true

  constructor(checks: ReadinessChecks, log: Logger, limit = LIMIT_MS) {
    this.#checks = checks
    this.#log = log
    this.#limit = limit
  }

  /** From now on the answer is no. */
  drain(): void {
    this.#draining = true
  }

  async report(): Promise<ReadinessReport> {
    if (this.#draining) return { ready: false, parts: { server: 'draining' } }
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  async #look(): Promise<ReadinessReport> {
    const parts = Object.fromEntries(
      await Promise.all(
        Object.entries(this.#checks).map(
          async ([name, check]) => [name, await this.#state(name, check)] as const,
        ),
      ),
    )
    const ready = Object.values(parts).every((state) => state === 'up')
    if (ready !== this.#wasReady) {
      this.#wasReady = ready
      if (ready) this.#log.info({ parts }, 'ready again')
      else this.#log.warn({ parts }, 'not ready')
    }
    return { ready, parts }
  }

  async #state(name: string, check: () => Promise<void>): Promise<string> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve(`did not answer within ${this.#limit} ms`), this.#limit)
    })
    try {
      return await Promise.race([check().then(() => 'up'), late])
    } catch (error) {
      if (isUploadError(error)) return error.message
      // Whoever may look at this page need not learn hosts and paths.
      this.#log.error({ err: error, part: name }, 'a readiness check failed')
      return 'failed'
    } finally {
      clearTimeout(timer)
    }
  }
}
