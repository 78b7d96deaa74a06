import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { RequestError } from '../http/errors.js'
import { hasBody } from '../http/has-body.js'
import type { Passage } from '../http/in-flight.js'
import { pathOf } from '../http/target.js'
import type { Exchange, RequestBody } from './exchange.js'
import { publicAddress } from './location.js'
import { effectiveMethod } from './methods.js'
import type { Site } from './site.js'

/** A request of node:http, and of the compatibility layer of node:http2. */
export class NodeExchange implements Exchange {
  readonly method: string
  readonly target: string
  readonly headers: IncomingHttpHeaders
  readonly secure: boolean
  readonly body: RequestBody | null
  readonly subject: IncomingMessage
  readonly #site: Site
  readonly #passage: Passage
  readonly #response: ServerResponse
  #webRequest: Request | null = null

  constructor(site: Site, request: IncomingMessage, response: ServerResponse, passage: Passage) {
    this.#site = site
    this.#response = response
    this.subject = request
    this.headers = request.headers
    this.method = effectiveMethod(request.method ?? 'GET', request.headers)
    this.target = request.url ?? '/'
    this.secure = (request.socket as Partial<TLSSocket>).encrypted === true
    this.body = hasBody(request) ? new NodeBody(request) : null
    this.#passage = passage
  }

  get signal(): AbortSignal {
    return this.#passage.signal
  }

  webRequest(): Request {
    this.#webRequest ??= this.#makeWebRequest()
    return this.#webRequest
  }

  #makeWebRequest(): Request {
    const { proto, host } = publicAddress(this.#site.options, this)
    const base = `${proto}://${host ?? 'localhost'}`
    const url = base + this.target.slice(this.target.indexOf(pathOf(this.target)))
    const request = new Request(URL.canParse(url) ? url : base, {
      method: this.method,
      headers: webHeaders(this.headers),
    })
    const node = { req: this.subject, res: this.#response }
    // `runtime` is where srvx has it, `node` where @tus/server still puts it for hooks of older versions.
    Object.defineProperty(request, 'runtime', { value: { name: 'node', node } })
    return Object.defineProperty(request, 'node', { value: node })
  }
}

class NodeBody implements RequestBody {
  readonly #request: IncomingMessage

  constructor(request: IncomingMessage) {
    this.#request = request
  }

  /** Bytes that somebody else has read cannot be stored, and a client told of less would send them for ever. */
  get source(): Readable {
    if (!this.#request.readableDidRead) return this.#request
    throw new RequestError(
      'misconfigured',
      'The body was read before the tus server got the request; mount it before any body parser.',
    )
  }

  trailer(name: string): string | undefined {
    return this.#request.trailers[name]
  }
}

function webHeaders(headers: IncomingHttpHeaders): Headers {
  const all = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    // HTTP/2 has its pseudo headers here, which are no headers to fetch.
    if (value === undefined || name.startsWith(':')) continue
    for (const each of typeof value === 'string' ? [value] : value) all.append(name, each)
  }
  return all
}
