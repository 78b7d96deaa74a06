import { draining, type UploadError } from '../upload/errors.js'
import { RequestError } from './errors.js'

/** A request under way. */
export interface Passage {
  /** Made when first asked for: it costs a HEAD more than anything else here. */
  readonly signal: AbortSignal
  /** Ends it early with this as the reason; later calls change nothing. */
  interrupt(reason: UploadError | RequestError): void
  /** To be called when its answer is out, or its connection gone. */
  end(): void
}

class Running implements Passage {
  readonly #onEnd: (running: Running) => void
  #controller: AbortController | null = null
  #reason: UploadError | RequestError | null = null

  constructor(onEnd: (running: Running) => void) {
    this.#onEnd = onEnd
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#reason !== null) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  interrupt(reason: UploadError | RequestError): void {
    this.#reason ??= reason
    this.#controller?.abort(this.#reason)
  }

  end(): void {
    this.#onEnd(this)
  }
}

/** The requests of one server that are under way, and the one way to end them all. */
export class InFlight {
  readonly #running = new Set<Running>()
  readonly #waiting = new Set<() => void>()
  #draining = false

  get count(): number {
    return this.#running.size
  }

  get draining(): boolean {
    return this.#draining
  }

  begin(): Passage {
    const running = new Running((ended) => this.#end(ended))
    this.#running.add(running)
    return running
  }

  /** From now on new requests are refused; the bodies of running ones end where they are. Resolves when none runs. */
  async drain(): Promise<void> {
    this.#draining = true
    for (const running of this.#running) running.interrupt(draining())
    if (this.#running.size === 0) return
    await new Promise<void>((resolve) => {
      this.#waiting.add(resolve)
    })
  }

  #end(running: Running): void {
    this.#running.delete(running)
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
