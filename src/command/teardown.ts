import type { Logger } from '../upload/log.js'
import { aborted } from './stop-signals.js'

interface Step {
  readonly name: string
  readonly limit: number
  readonly hurried: number
  readonly end: () => Promise<void>
}

/** What is left of a step's time once the person at the keyboard asked a second time. */
const HURRIED_MS = 1_000

/**
 * What was started and must be ended, the last started first. A step that fails or takes too long is reported and
 * left behind: the steps after it, such as stopping the database, matter more than it does.
 */
export class Teardown {
  readonly #steps: Step[] = []
  readonly #log: Logger
  readonly #hurry: AbortSignal

  constructor(log: Logger, hurry: AbortSignal) {
    this.#log = log
    this.#hurry = hurry
  }

  /** `name` ends the sentence "could not end …"; `limit` is in ms, and so is what is left of it in a `hurry`. */
  add(name: string, limit: number, end: () => Promise<void>, hurried = HURRIED_MS): void {
    this.#steps.push({ name, limit, hurried, end })
  }

  /** Runs every step once. True when all ended well and in time. Never rejects. */
  async run(): Promise<boolean> {
    let clean = true
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      clean = (await this.#end(step)) && clean
    }
    return clean
  }

  async #end(step: Step): Promise<boolean> {
    const timers: NodeJS.Timeout[] = []
    const late = new Promise<'late'>((resolve) => {
      timers.push(setTimeout(() => resolve('late'), step.limit))
      void aborted(this.#hurry).then(() => timers.push(setTimeout(() => resolve('late'), step.hurried)))
    })
    try {
      const outcome = await Promise.race([step.end().then(() => 'ended' as const), late])
      if (outcome === 'late') this.#log.error({ step: step.name }, `could not end ${step.name} in time`)
      return outcome === 'ended'
    } catch (error) {
      this.#log.error({ err: error, step: step.name }, `could not end ${step.name}`)
      return false
    } finally {
      for (const timer of timers) clearTimeout(timer)
    }
  }
}
