import type { IncomingMessage, ServerResponse } from 'node:http'
import { pathOf } from './target.js'

export type RawHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>

/** A protocol: answers every request it is given, in full, and never rejects for what a client did. */
export interface ProtocolHandler {
  readonly handle: RawHandler
  /** For requests that ask before they send their body: says `100 Continue` itself, when the body is wanted. */
  readonly checkContinue: RawHandler
  /** Ends running requests at a recorded offset and refuses new ones; resolves when none runs. */
  drain(): Promise<void>
}

/** A protocol and the paths it answers at and below; they begin with a slash and do not end with one. */
export interface Mount {
  readonly paths: readonly string[]
  readonly protocol: ProtocolHandler
}

/** Which protocol answers a request. */
export class Mounts {
  readonly #mounts: readonly Mount[]
  readonly #asking = new WeakSet<IncomingMessage>()

  constructor(mounts: readonly Mount[]) {
    this.#mounts = mounts
  }

  /** Notes that a request waits for `100 Continue` before it sends its body. */
  asks(request: IncomingMessage): void {
    this.#asking.add(request)
  }

  /** What answers this request: bodies stream, so nothing may have read from it. Null where no protocol is mounted. */
  handlerOf(request: IncomingMessage): RawHandler | null {
    const path = pathOf(request.url ?? '')
    const mount = this.#mounts.find(({ paths }) => paths.some((each) => isAtOrBelow(path, each)))
    if (mount === undefined) return null
    const { protocol } = mount
    return this.#asking.has(request) ? protocol.checkContinue : protocol.handle
  }
}

function isAtOrBelow(path: string, mounted: string): boolean {
  return path.startsWith(mounted) && (path.length === mounted.length || path[mounted.length] === '/')
}
