/** Chunks that went to other nodes are noticed by looking: soon after the last one, and then ever more seldom. */
const FIRST_LOOK_MS = 250
const LAST_LOOK_MS = 1_000

/** The rest somebody takes while nothing comes, until it is time to look, or it is ended. */
export class Rest {
  #cameAt = performance.now()
  #lookAfter = FIRST_LOOK_MS
  /** Ends it; null while there is none. */
  #end: (() => void) | null = null

  get isOn(): boolean {
    return this.#end !== null
  }

  /** Since when nothing came, in ms. */
  get quiet(): number {
    return performance.now() - this.#cameAt
  }

  /** Something came. */
  came(): void {
    this.#cameAt = performance.now()
    this.#lookAfter = FIRST_LOOK_MS
  }

  end(): void {
    this.#end?.()
  }

  /** Resolves when it is over. `begun` is called at once, when it is on. */
  async take(begun: () => void): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer)
        this.#end = null
        resolve()
      }
      const timer = setTimeout(end, this.#lookAfter).unref()
      this.#end = end
      this.#lookAfter = Math.min(this.#lookAfter * 2, LAST_LOOK_MS)
      begun()
    })
  }
}
