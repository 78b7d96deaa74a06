import type { EventEmitter } from 'node:events'
import type { Server } from '@tus/server'
import type { Logger } from '../upload/log.js'

export type RouteHandler = Parameters<Server['get']>[1]

export type Verb = 'GET' | 'HEAD' | 'OPTIONS' | 'PATCH' | 'POST' | 'DELETE'

type Listener = (...args: readonly unknown[]) => unknown

/**
 * Tells the listeners of @tus/server's events: those of the server, whenever they were added, and those somebody
 * added to a handler itself. The server copies its listeners to every handler and forgets which were added with
 * `once`, so its own list is asked first. A listener that fails is logged and changes nothing: the upload is
 * recorded by then.
 */
export class TusListeners {
  readonly #server: EventEmitter
  readonly #handlers: ReadonlyMap<Verb, EventEmitter>
  readonly #log: Logger
  /** Listeners the server has or had: handlers keep those of `once` for ever. */
  readonly #servers = new WeakSet<object>()

  constructor(server: EventEmitter, handlers: ReadonlyMap<Verb, EventEmitter>, log: Logger) {
    this.#server = server
    this.#handlers = handlers
    this.#log = log
  }

  has(verb: Verb, event: string): boolean {
    return this.#of(verb, event).length > 0
  }

  /** The arguments are made only if somebody listens. */
  tell(verb: Verb, event: string, args: () => readonly unknown[]): void {
    const listeners = this.#of(verb, event)
    if (listeners.length === 0) return
    const failed = (error: unknown) => this.#log.error({ err: error, event }, 'a listener failed')
    try {
      const values = args()
      for (const listener of listeners) call(listener, values, failed)
    } catch (error) {
      failed(error)
    }
  }

  #of(verb: Verb, event: string): readonly Listener[] {
    for (const listener of this.#server.listeners(event)) this.#servers.add(listener)
    const own = this.#handlers.get(verb)?.rawListeners(event) ?? []
    const others = own.filter((listener) => !this.#servers.has(listener))
    return [...this.#server.rawListeners(event), ...others] as Listener[]
  }
}

function call(listener: Listener, args: readonly unknown[], failed: (error: unknown) => void): void {
  try {
    const result = listener(...args)
    if (result instanceof Promise) result.catch(failed)
  } catch (error) {
    failed(error)
  }
}
