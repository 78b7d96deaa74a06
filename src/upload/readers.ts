interface Waiting {
  readonly isAwaited: () => boolean
  readonly start: () => void
}

/** Lets so many read at a time. Those somebody waits for by then go first. */
export class Readers {
  #free: number
  readonly #waiting: Waiting[] = []

  constructor(most: number) {
    this.#free = most
  }

  async read<T>(isAwaited: () => boolean, read: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((start) => this.#waiting.push({ isAwaited, start }))
    try {
      return await read()
    } finally {
      this.#next()
    }
  }

  #next(): void {
    const awaited = this.#waiting.findIndex(({ isAwaited }) => isAwaited())
    const [next] = this.#waiting.splice(Math.max(0, awaited), 1)
    if (next === undefined) this.#free += 1
    else next.start()
  }
}
