/** Lets so many read at a time. Those somebody waits for go first. */
export class Readers {
  #free: number
  readonly #awaited: (() => void)[] = []
  readonly #others: (() => void)[] = []

  constructor(most: number) {
    this.#free = most
  }

  async read<T>(isAwaited: boolean, read: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((resolve) => (isAwaited ? this.#awaited : this.#others).push(resolve))
    try {
      return await read()
    } finally {
      const next = this.#awaited.shift() ?? this.#others.shift()
      if (next === undefined) this.#free += 1
      else next()
    }
  }
}
