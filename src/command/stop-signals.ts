/**
 * One wish to stop often arrives twice: Ctrl-C reaches npm and the server alike, and npm passes its own on; service
 * managers signal a whole group. Only a signal that comes later than this counts as a second wish.
 */
const SAME_WISH_MS = 500

/** SIGTERM and SIGINT: the first asks to drain, the second to hurry, the third to stop at once. */
export class StopSignals {
  readonly #drain = new AbortController()
  readonly #hurry = new AbortController()
  readonly #now: () => number
  #last = Number.NEGATIVE_INFINITY

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Starts listening; the signals no longer end the process by themselves. */
  listen(atOnce: () => void): void {
    const wished = () => this.wish(atOnce)
    process.on('SIGTERM', wished)
    process.on('SIGINT', wished)
  }

  /** One arrival of a signal. */
  wish(atOnce: () => void): void {
    const now = this.#now()
    if (now - this.#last < SAME_WISH_MS) return
    this.#last = now
    if (!this.#drain.signal.aborted) this.#drain.abort()
    else if (!this.#hurry.signal.aborted) this.#hurry.abort()
    else atOnce()
  }

  /** Aborts with the first wish. */
  get drain(): AbortSignal {
    return this.#drain.signal
  }

  /** Aborts with the second. */
  get hurry(): AbortSignal {
    return this.#hurry.signal
  }
}

/** Resolves when the signal aborts, or at once when it has. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
