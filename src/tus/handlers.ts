import { EventEmitter } from 'node:events'
import type { DataStore, Server, ServerOptions } from '@tus/server'
import type { RouteHandler, Verb } from './listeners.js'
import { METHODS } from './methods.js'

/** What stands in for a handler of @tus/server: listeners can be added to it, and it answers web requests. */
export class VerbHandler extends EventEmitter {
  readonly options: ServerOptions
  readonly store: DataStore
  /** For GET: what `server.get` registered. */
  readonly paths = new Map<string, RouteHandler>()
  readonly #answer: (request: Request) => Promise<Response>

  constructor(server: Server, answer: (request: Request) => Promise<Response>) {
    super()
    this.options = server.options
    this.store = server.datastore
    this.#answer = answer
  }

  send(request: Request): Promise<Response> {
    return this.#answer(request)
  }

  registerPath(path: string, handler: RouteHandler): void {
    this.paths.set(path, handler)
  }
}

/** One for every verb, with the listeners and routes the server's own handlers had by now. */
export function replaceHandlers(
  server: Server,
  answer: (request: Request) => Promise<Response>,
): ReadonlyMap<Verb, VerbHandler> {
  const handlers = new Map(METHODS.map((verb) => [verb, new VerbHandler(server, answer)] as const))
  for (const [verb, handler] of handlers) {
    const before: EventEmitter = server.handlers[verb]
    for (const event of before.eventNames()) {
      for (const listener of before.rawListeners(event)) handler.on(event, listener as () => void)
    }
  }
  for (const [path, handler] of server.handlers.GET.paths) handlers.get('GET')?.registerPath(path, handler)
  // The classes of @tus/server's handlers are not exported; these have the part of them anybody calls.
  server.handlers = Object.fromEntries(handlers) as unknown as Server['handlers']
  return handlers
}
