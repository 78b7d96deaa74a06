import cluster from 'node:cluster'
import type { Logger } from '../upload/log.js'
import type { FromWorker, ToWorker } from './worker-messages.js'

/** What a client that downloads gets to finish when the primary is gone, in ms. */
const ORPHAN_GRACE_MS = 1_000

/** After so long an orphan ends whatever it is at, in ms. */
const ORPHAN_LIMIT_MS = 6_000

/**
 * The primary as its worker sees it, and the wishes to stop. It counts signals, its workers do not: Ctrl-C and service
 * managers send each signal to all of them, so a second one would arrive twice. A signal that comes to a worker alone
 * makes it end in order, and another takes its place.
 */
export class Primary {
  readonly #log: Logger
  readonly #drain = new AbortController()
  readonly #hurry = new AbortController()
  #open: (port: number) => void = () => undefined
  readonly #port: Promise<number>

  constructor(log: Logger) {
    this.#log = log
    this.#port = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  /** Starts listening: to the primary, for its end, and to signals. */
  listen(): void {
    const drain = () => this.#drain.abort()
    process.on('SIGTERM', drain)
    process.on('SIGINT', drain)
    process.on('message', (message: ToWorker) => this.#hear(message))
    cluster.worker?.on('disconnect', () => this.#orphaned())
    void this.tell('hearing')
  }

  /** Aborts when this worker is to end in order. */
  get drain(): AbortSignal {
    return this.#drain.signal
  }

  /** Aborts when it is to end soon. */
  get hurry(): AbortSignal {
    return this.#hurry.signal
  }

  /** The port to open; never, when there is none to open any more. */
  get port(): Promise<number> {
    return this.#port
  }

  /** Resolves when it was said, or nobody is there to hear it. */
  async tell(kind: FromWorker['kind'], text = ''): Promise<void> {
    const message: FromWorker = { kind, text }
    await new Promise<void>((resolve) => {
      if (process.send) process.send(message, undefined, undefined, () => resolve())
      else resolve()
    })
  }

  #hear(message: ToWorker): void {
    if ('listen' in message) this.#open(message.listen)
    else if (message.end === 'in order') this.#drain.abort()
    else this.#hurry.abort()
  }

  #orphaned(): void {
    // Node ends a worker at this moment, and what it has not recorded with it, unless that was the worker's own wish.
    if (cluster.worker) cluster.worker.exitedAfterDisconnect = true
    this.#log.error({}, 'the primary is gone; its worker ends')
    this.#drain.abort()
    setTimeout(() => this.#hurry.abort(), ORPHAN_GRACE_MS).unref()
    setTimeout(() => process.exit(1), ORPHAN_LIMIT_MS).unref()
  }
}
