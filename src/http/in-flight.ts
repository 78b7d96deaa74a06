import { draining, type UploadError } from '../upload/errors.js'
import { RequestError } from './errors.js'

/** A request under way. */
export interface Passage {
  readonly signal: AbortSignal
  /** Ends it early with this as the reason; later calls change nothing. */
  interrupt(reason: UploadError | RequestError): void
  /** To be called when its answer is out, or its connection gone. */
  end(): void
}

/** The requests of one server that are under way, and the one way to end them all. */
export class InFlight {
  readonly #running = new Set<AbortController>()
  readonly #waiting = new Set<() => void>()
  #draining = false

  get count(): number {
    return this.#running.size
  }

  get draining(): boolean {
    return this.#draining
  }

  begin(): Passage {
    const controller = new AbortController()
    this.#running.add(controller)
    return {
      signal: controller.signal,
      interrupt: (reason) => controller.abort(reason),
      end: () => this.#end(controller),
    }
  }

  /** From now on new requests are refused; the bodies of running ones end where they are. Resolves when none runs. */
  async drain(): Promise<void> {
    this.#draining = true
    for (const controller of this.#running) controller.abort(draining())
    if (this.#running.size === 0) return
    await new Promise<void>((resolve) => {
      this.#waiting.add(resolve)
    })
  }

  #end(controller: AbortController): void {
    this.#running.delete(controller)
    if (this.#running.size > 0) return
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

export function idle(milliseconds: number): RequestError {
  return new RequestError(
    'request_timeout',
    `Nothing came for ${Math.ceil(milliseconds / 1000)} s; what had come before is kept.`,
  )
}
