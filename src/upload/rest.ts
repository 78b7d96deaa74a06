/** Chunks that went to other nodes are noticed by looking: soon after the last one, and then ever more seldom. In ms. */
export interface Looks {
  readonly first: number
  readonly last: number
}

/** The rest somebody takes while nothing comes, until it is time to look, or it is ended. */
export class Rest {
  readonly #looks: Looks
  #cameAt = performance.now()
  #lookAfter: number
  /** Ends it; null while there is none. */
  #end: (() => void) | null = null

  constructor(looks: Looks) {
    this.#looks = looks
    this.#lookAfter = looks.first
  }

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
    this.#lookAfter = this.#looks.first
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
      this.#lookAfter = Math.min(this.#lookAfter * 2, this.#looks.last)
      begun()
    })
  }
}
