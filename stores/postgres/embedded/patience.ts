import { setTimeout as sleep } from 'node:timers/promises'

/** How long to ask again while others finish. One per start, shared by everything the start waits for. */
export class Patience {
  readonly #until: number
  readonly #say: (message: string) => void
  readonly #said = new Set<string>()

  constructor(milliseconds: number, say: (message: string) => void) {
    this.#until = performance.now() + milliseconds
    this.#say = say
  }

  get left(): number {
    return Math.max(0, this.#until - performance.now())
  }

  /** Pauses before the next try and says once why; throws `otherwise()` when the time is over. */
  async wait(reason: string, otherwise: () => Error): Promise<void> {
    if (this.left === 0) throw otherwise()
    await this.pause(reason)
  }

  /** Pauses without an end, for what must not be cut short, such as crash recovery. */
  async pause(reason: string): Promise<void> {
    if (!this.#said.has(reason)) {
      this.#said.add(reason)
      this.#say(reason)
    }
    await sleep(25)
  }
}
