import type { EventEmitter } from 'node:events'
import { StartFailure } from './failure.js'
import type { FromWorker, ToWorker } from './worker-messages.js'

/** As much of node:cluster's Worker as is needed. */
export interface Forked extends EventEmitter {
  readonly process: EventEmitter & {
    readonly pid?: number | undefined
    kill(signal: NodeJS.Signals): boolean
  }
  send(message: object, sent: (error: Error | null) => void): boolean
}

export interface WorkerExit {
  readonly code: number | null
  readonly signal: string | null
}

const ignore = () => undefined

/** A worker as its primary sees it. */
export class WorkerProcess {
  readonly #forked: Forked
  readonly #hearing: Promise<unknown>
  /** Resolves when nothing of it runs and all it said was heard. */
  readonly exited: Promise<WorkerExit>
  /** Resolves when only its port is not open yet; rejects with a StartFailure when it will not get there. */
  readonly prepared: Promise<unknown>
  /** Resolves with its address when it accepts connections; rejects likewise. */
  readonly listening: Promise<string>

  constructor(forked: Forked) {
    this.#forked = forked
    this.#hearing = textOf(forked, 'hearing')
    this.exited = endOf(forked)
    const failed = this.#failed()
    this.prepared = Promise.race([textOf(forked, 'prepared'), failed])
    this.listening = Promise.race([textOf(forked, 'listening'), failed])
    for (const promise of [failed, this.prepared, this.listening]) promise.catch(ignore)
  }

  get pid(): number | undefined {
    return this.#forked.process.pid
  }

  /** Kept for it until it hears: node:cluster drops what comes before. One that is gone need not be told anything. */
  tell(message: ToWorker): void {
    void this.#hearing.then(() => this.#forked.send(message, ignore))
  }

  kill(): void {
    this.#forked.process.kill('SIGKILL')
  }

  async #failed(): Promise<never> {
    const end = await Promise.race([textOf(this.#forked, 'failed'), this.exited])
    if (typeof end === 'string') throw new StartFailure(end)
    throw new StartFailure(`A worker ended before it was ready (${end.signal ?? `exit code ${end.code}`})`)
  }
}

/** What it says of this kind. Never resolves if that is nothing. */
function textOf(forked: Forked, kind: FromWorker['kind']): Promise<string> {
  return new Promise((resolve) => {
    forked.on('message', (message: FromWorker) => {
      if (message.kind === kind) resolve(message.text)
    })
  })
}

function endOf(forked: Forked): Promise<WorkerExit> {
  return new Promise((resolve) => {
    // Not 'exit', after which its last words may be heard; and not 'disconnect', which does not always come.
    forked.process.once('close', (code: number | null, signal: string | null) => resolve({ code, signal }))
    // Errors without a pid: the system had no process for it. Others are of messages to one that is gone.
    forked.on('error', ({ code, message }: NodeJS.ErrnoException) => {
      if (forked.process.pid === undefined) resolve({ code: null, signal: code ?? message })
    })
  })
}
