import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { RequestError } from '../http/errors.js'
import type { IdentifiedRequest } from '../http/identity.js'
import type { Exchange, RequestBody } from './exchange.js'
import { effectiveMethod } from './methods.js'
import { respond } from './respond.js'
import { fromWeb, toResponse } from './response.js'
import type { Site } from './site.js'

/** Serves requests of the web's `fetch` kind, for frameworks that have no others. */
export async function serveWeb(site: Site, request: Request): Promise<Response> {
  const passage = site.inFlight.begin()
  const exchange = new WebExchange(request, passage.signal)
  try {
    return toResponse(await respond(site, exchange))
  } finally {
    exchange.body?.close()
    passage.end()
  }
}

class WebExchange implements Exchange {
  readonly method: string
  readonly target: string
  readonly headers: IncomingHttpHeaders
  readonly secure: boolean
  readonly body: WebBody | null
  readonly signal: AbortSignal
  readonly subject: IdentifiedRequest
  readonly #request: Request

  constructor(request: Request, signal: AbortSignal) {
    const { pathname, search, protocol, host } = new URL(request.url)
    // Some runtimes put the host only into the URL.
    this.headers = { host, ...Object.fromEntries(request.headers) }
    this.method = effectiveMethod(request.method, this.headers)
    this.target = pathname + search
    this.secure = protocol === 'https:'
    this.body = hasBody(request, this.headers) ? new WebBody(request) : null
    this.signal = signal
    this.subject = { method: request.method, url: this.target, headers: this.headers }
    this.#request = request
  }

  webRequest(): Request {
    return this.#request
  }
}

/** A web request cannot say whether a body without a length is empty, so that one counts as a body. */
function hasBody(request: Request, headers: IncomingHttpHeaders): boolean {
  const length = headers['content-length']
  return length === undefined
    ? nodeRequestOf(request) === null && request.body !== null
    : Number(length) !== 0
}

/** srvx (h3, Nitro, stock @tus/server) keeps the Node request behind the web one. */
function nodeRequestOf(request: Request): IncomingMessage | null {
  const { runtime } = request as { runtime?: { node?: { req?: IncomingMessage } } }
  return runtime?.node?.req ?? null
}

class WebBody implements RequestBody {
  readonly #request: Request
  #source: Readable | null = null

  constructor(request: Request) {
    this.#request = request
  }

  get source(): Readable {
    if (this.#request.bodyUsed) {
      throw new RequestError('misconfigured', 'The body was read before the tus server got the request.')
    }
    this.#source ??= guarded(nodeRequestOf(this.#request) ?? fromWeb(this.#request.body))
    return this.#source
  }

  /** fetch knows no trailers; only Node's own requests do. */
  trailer(name: string): string | undefined {
    return nodeRequestOf(this.#request)?.trailers[name]
  }

  /** Lets go of what was not read. A Node request stays, since its answer goes out over the same socket. */
  close(): void {
    if (nodeRequestOf(this.#request) === null) this.#source?.destroy()
  }
}

function guarded(source: Readable | null): Readable {
  if (source === null) throw new RequestError('misconfigured', 'The request has a length, but no body.')
  // A client that leaves must not end the process when nobody reads any more; a reader still hears of it.
  return source.on('error', () => undefined)
}
