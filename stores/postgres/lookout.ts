import type { Signals } from './signals.js'

/** How often is looked where no messages come, in ms. */
export const LOOK_MS = 200

/** Whoever waits for messages looks for itself as long as none come, and there is something to look for. */
export class Lookout {
  readonly #signals: Signals
  readonly #isNeeded: () => boolean
  readonly #look: () => Promise<void>
  #timer: NodeJS.Timeout | null = null
  #looking = false

  /** `look` never rejects. */
  constructor(signals: Signals, isNeeded: () => boolean, look: () => Promise<void>) {
    this.#signals = signals
    this.#isNeeded = isNeeded
    this.#look = look
    signals.on('lost', () => this.update())
    // What was asked for between the last look and the first message.
    signals.on('reconnected', () => void look())
  }

  /** To be called when there is something to look for, or nothing any more. */
  update(): void {
    if (!this.#isNeeded()) this.#end()
    else if (!this.#signals.listening) this.#timer ??= setInterval(() => void this.#tick(), LOOK_MS).unref()
  }

  /** One look at a time: what is lost is often the database, and with it their answers. */
  async #tick(): Promise<void> {
    if (this.#signals.listening) this.#end()
    if (this.#timer === null || this.#looking) return
    this.#looking = true
    await this.#look()
    this.#looking = false
  }

  #end(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}
