/** Runs so many tasks at a time and no more; the others wait in the order they came. */
export class Queue {
  readonly #most: number
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(most: number) {
    this.#most = most
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running === this.#most) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running += 1
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      // Its place goes over to the next, so that nobody comes in between.
      if (next) next()
      else this.#running -= 1
    }
  }
}
