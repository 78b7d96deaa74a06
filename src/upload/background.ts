import { assemble } from './assemble.js'
import type { Engine } from './engine.js'
import { sweep } from './sweep.js'

export interface BackgroundTimes {
  /** Pause between two sweeps, in ms. */
  readonly sweepEvery: number
  /** Pause between two looks for finals that wait to be assembled, in ms; a final completed here is taken at once. */
  readonly assembleEvery: number
}

const USUAL: BackgroundTimes = { sweepEvery: 60_000, assembleEvery: 10_000 }

/** The work no client waits for: sweeping and assembling, one of each at a time in a process. */
export class Background {
  readonly #engine: Engine
  readonly #times: BackgroundTimes
  readonly #stopping = new AbortController()
  readonly #timers: NodeJS.Timeout[] = []
  #sweeping: Promise<void> | null = null
  #assembling: Promise<void> | null = null
  /** A final was completed while the assembler was at its last look. */
  #again = false

  constructor(engine: Engine, times: BackgroundTimes = USUAL) {
    this.#engine = engine
    this.#times = times
  }

  start(): void {
    this.#timers.push(setInterval(() => this.#sweep(), this.#times.sweepEvery).unref())
    this.#sweep()
    if (this.#engine.policy.assembly === 'never') return
    this.#timers.push(setInterval(() => this.#assemble(), this.#times.assembleEvery).unref())
    // With `inline`, whoever completes a final assembles it: taken here first, it would be answered before.
    if (this.#engine.policy.assembly === 'background') {
      this.#engine.events.on('upload_completed', ({ upload }) => {
        // Where blobs may lie in several places, any upload may wait for being made one.
        if (upload.kind === 'final' || this.#engine.bytes.sharesTargets) this.#assemble()
      })
    }
    this.#assemble()
  }

  /** Ends after the step under way; what is left is taken up by the next start, or by another node. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    for (const timer of this.#timers) clearInterval(timer)
    await this.#sweeping
    await this.#assembling
  }

  #sweep(): void {
    if (this.#sweeping !== null || this.#stopping.signal.aborted) return
    this.#sweeping = sweep(this.#engine, this.#stopping.signal)
      .then(() => undefined)
      .catch((error: unknown) =>
        this.#engine.log.warn({ err: error }, 'a sweep did not finish; the next one goes on'),
      )
      .finally(() => {
        this.#sweeping = null
      })
  }

  #assemble(): void {
    this.#again = true
    if (this.#assembling !== null || this.#stopping.signal.aborted) return
    this.#assembling = this.#drain()
      .catch((error: unknown) => this.#engine.log.warn({ err: error }, 'assembling paused; it goes on later'))
      .finally(() => {
        this.#assembling = null
        if (this.#again) this.#assemble()
      })
  }

  async #drain(): Promise<void> {
    this.#again = false
    while (
      !this.#stopping.signal.aborted &&
      (await assemble(this.#engine, undefined, this.#stopping.signal))
    );
  }
}
