import { busy } from './errors.js'

/** How long nothing may come, in ms, once somebody else asks for a range. */
const STALLED_MS = 1_000

/**
 * How long it is held at most, in ms, once somebody asks, however it flows: whoever asks waits no more than 8 s, and is
 * most likely the same client, which gave this request up.
 */
const MOST_MS = 5_000

/**
 * Follows the wish of somebody else to have a range that is being written. A chunk that still flows is soon through, and
 * whoever asked then sees it as received; one whose client is gone without a word must not keep anybody waiting.
 */
export class YieldWhenStalled {
  readonly #yielded: AbortSignal
  readonly #giveUp = new AbortController()
  #last = performance.now()
  #asked = 0
  #timer: NodeJS.Timeout | null = null

  constructor(yielded: AbortSignal) {
    this.#yielded = yielded
    yielded.addEventListener('abort', this.#onAsked, { once: true })
    if (yielded.aborted) this.#onAsked()
  }

  /** Aborts, with `upload_busy` as its reason, when the range is to be given up. */
  get signal(): AbortSignal {
    return this.#giveUp.signal
  }

  /** To be called whenever bytes were stored. */
  moved(): void {
    this.#last = performance.now()
  }

  stop(): void {
    this.#yielded.removeEventListener('abort', this.#onAsked)
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  readonly #onAsked = (): void => {
    this.#asked = performance.now()
    this.#look()
  }

  #look(): void {
    const until = Math.min(this.#last + STALLED_MS, this.#asked + MOST_MS)
    const left = until - performance.now()
    if (left <= 0) this.#giveUp.abort(busy())
    else this.#timer = setTimeout(() => this.#look(), left)
  }
}
