import type { Logger } from '../upload/log.js'
import { pause } from './pause.js'
import { aborted } from './stop-signals.js'
import { type Forked, type WorkerExit, WorkerProcess } from './worker-process.js'

export interface WorkersOptions {
  readonly count: number
  readonly log: Logger
  /** Starts a process. */
  readonly fork: () => Forked
  /** The port to open, asked for when it is time. */
  readonly choosePort: () => Promise<number>
}

/** Pauses before a worker takes the place of one that died, in ms: of the first, the second … in a row. */
const PAUSES = [0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]

/** One that lived this long does not count as one in a row. */
const SETTLED_MS = 60_000

/** Longer than the teardown of a worker may take; what then still runs is killed. In ms. */
const END_MS = 25_000
const END_SOON_MS = 5_000

/** Most time `stop` takes, in ms, and what is left of it once asked to hurry. */
export const WORKERS_LIMITS = { usual: END_MS + 1_000, hurried: END_SOON_MS + 1_000 }

const NOT_STARTED: WorkerExit = { code: null, signal: null }

/** Processes that serve one port, each a node of its own. One that dies is replaced, whatever it died of. */
export class Workers {
  readonly #options: WorkersOptions
  readonly #living = new Set<WorkerProcess>()
  readonly #stopping = new AbortController()
  #port: number | null = null

  constructor(options: WorkersOptions) {
    this.#options = options
  }

  /**
   * Resolves with their address when all of them accept connections. Rejects with a StartFailure when one cannot: then
   * all would meet what it met.
   */
  async start(): Promise<string> {
    const workers = Array.from({ length: this.#options.count }, () => this.#begin())
    await Promise.all(workers.map((worker) => worker.prepared))
    const port = await this.#options.choosePort()
    for (const worker of workers) worker.tell({ listen: port })
    const [address = ''] = await Promise.all(workers.map((worker) => worker.listening))
    this.#port = port
    for (const worker of workers) void this.#keepPlaceOf(worker)
    return address
  }

  /**
   * Has all of them end in order, or soon once `hurry` aborts, and kills those that do not. Rejects when one that
   * served did not end in order.
   */
  async stop(hurry: AbortSignal): Promise<void> {
    this.#stopping.abort()
    const timers = [setTimeout(() => this.#kill(), END_MS)]
    this.#tellEnd('in order')
    void aborted(hurry).then(() => {
      this.#tellEnd('soon')
      timers.push(setTimeout(() => this.#kill(), END_SOON_MS))
    })
    const exits = await Promise.all([...this.#living].map((worker) => worker.exited))
    for (const timer of timers) clearTimeout(timer)
    const left = exits.filter(({ code }) => code !== 0).length
    if (this.#port !== null && left > 0) throw new Error(`${left} of the workers did not end in order`)
  }

  #begin(): WorkerProcess {
    const worker = new WorkerProcess(this.#options.fork())
    this.#living.add(worker)
    void worker.exited.then(() => this.#living.delete(worker))
    return worker
  }

  async #keepPlaceOf(first: WorkerProcess): Promise<void> {
    const { log } = this.#options
    let worker: WorkerProcess | null = first
    for (let inARow = 0; ; inARow++) {
      const began = performance.now()
      const { code, signal } = (await worker?.exited) ?? NOT_STARTED
      if (this.#stopping.signal.aborted) return
      if (performance.now() - began > SETTLED_MS) inARow = 0
      const after = PAUSES[Math.min(inARow, PAUSES.length - 1)] ?? 0
      const facts = { worker: worker?.pid, code, signal, after }
      log.error(facts, 'a worker ended; another takes its place')
      if (!(await pause(after, this.#stopping.signal))) return
      worker = this.#replacement()
    }
  }

  /** Null when the system has no process to give. */
  #replacement(): WorkerProcess | null {
    const { log } = this.#options
    try {
      const worker = this.#begin()
      if (this.#port !== null) worker.tell({ listen: this.#port })
      worker.listening.then(
        () => log.info({ worker: worker.pid }, 'a worker took the place of one that ended'),
        (error: Error) => log.warn({ worker: worker.pid }, error.message),
      )
      return worker
    } catch (error) {
      log.warn({ err: error }, 'no process could be started for a worker')
      return null
    }
  }

  #tellEnd(end: 'in order' | 'soon'): void {
    for (const worker of this.#living) worker.tell({ end })
  }

  #kill(): void {
    for (const worker of this.#living) worker.kill()
  }
}
