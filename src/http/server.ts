import { type RequestListener, Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Logger } from '../upload/log.js'
import { refuse } from './refuse.js'

/** Limits of connections, in ms and bytes. */
export interface ConnectionLimits {
  /** For the headers of a request to arrive, also its first byte. */
  readonly headersTimeout: number
  /** For which an idle connection is kept open. */
  readonly keepAliveTimeout: number
  /** Between two looks for headers that are late: they are noticed by so much later. */
  readonly checkEvery: number
  /** Request line and headers together. */
  readonly maxHeaderSize: number
  /** Bytes that may wait in a stream of a connection before it is paused, in each direction. */
  readonly highWaterMark: number
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  headersTimeout: 60_000,
  // Proxies keep connections for 60 s; the one that closes first must be the proxy, or it answers 502 now and then.
  keepAliveTimeout: 75_000,
  checkEvery: 10_000,
  // A final over 500 parts names 500 absolute URLs: 45 KB, and more with long host names.
  maxHeaderSize: 128 * 1024,
  // Up to 256 KiB every read of the socket pauses it: uploads then take twice the processor time (1.5 s for each GB
  // instead of 0.8 s, Node 20, loopback), and from 512 KiB on there is no more to gain.
  highWaterMark: 512 * 1024,
}

/** What is told of requests. */
export interface Listeners {
  readonly listener: RequestListener
  /** For requests that wait for `100 Continue` before they send their body. */
  readonly checkContinue: RequestListener
}

/** An HTTP server for requests that take hours, and that can be asked to stop without cutting an answer. */
export class UploadServer extends Server {
  readonly #sockets = new Map<Socket, Set<ServerResponse>>()
  readonly #log: Logger
  #draining = false

  constructor(listeners: Listeners, log: Logger, limits: ConnectionLimits = CONNECTION_LIMITS) {
    super({
      // An upload may take days; whether it stands still is watched by who reads its body.
      requestTimeout: 0,
      headersTimeout: limits.headersTimeout,
      keepAliveTimeout: limits.keepAliveTimeout,
      connectionsCheckingInterval: limits.checkEvery,
      maxHeaderSize: limits.maxHeaderSize,
      highWaterMark: limits.highWaterMark,
      noDelay: true,
    })
    this.#log = log
    this.on('connection', (socket) => this.#follow(socket))
    for (const event of ['request', 'checkContinue'] as const) {
      const listener = event === 'request' ? listeners.listener : listeners.checkContinue
      this.on(event, (request, response) => {
        this.#began(request.socket, response)
        listener(request, response)
      })
    }
    this.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      log.debug({ code: error.code }, 'a connection brought something that is not HTTP')
      refuse(error, socket, [...(this.#sockets.get(socket) ?? [])])
    })
  }

  /** Resolves when the port is open. Rejects with the system's error, such as EADDRINUSE. */
  async open(host: string, port: number): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.once('error', reject)
      this.listen({ host, port }, () => {
        this.off('error', reject)
        resolve()
      })
    })
    // A connection that cannot be accepted, for want of file descriptors say, must not end those that were.
    this.on('error', (error) => this.#log.error({ err: error }, 'a connection could not be accepted'))
    const address = this.address()
    if (address === null || typeof address === 'string') throw new Error('The server has no TCP address.')
    return address
  }

  /** Closes the port and idle connections. Resolves when the last running request has ended, with its connection. */
  async drain(): Promise<void> {
    this.#draining = true
    const closed = new Promise<void>((resolve) => this.close(() => resolve()))
    for (const running of this.#sockets.values()) {
      for (const response of running) announceClose(response)
    }
    await closed
  }

  /** How many requests are not fully answered. */
  get running(): number {
    let count = 0
    for (const running of this.#sockets.values()) count += running.size
    return count
  }

  /**
   * Called by `close`. Node's own takes a connection for idle once its answer is written, though it may not have
   * been sent: that would cut the end off a slow download.
   */
  override closeIdleConnections(): void {
    for (const [socket, running] of this.#sockets) {
      if (running.size === 0) socket.destroy()
    }
  }

  #follow(socket: Socket): void {
    this.#sockets.set(socket, new Set())
    socket.once('close', () => this.#sockets.delete(socket))
  }

  #began(socket: Socket, response: ServerResponse): void {
    this.#sockets.get(socket)?.add(response)
    if (this.#draining) announceClose(response)
    response.once('close', () => {
      const running = this.#sockets.get(socket)
      running?.delete(response)
      if (this.#draining && running?.size === 0) endSoon(socket)
    })
  }
}

/** A client that reads this sends no further request on a connection that is about to go. */
function announceClose(response: ServerResponse): void {
  // With a body still on its way Node would close before the client has read the answer.
  if (response.req.complete && !response.headersSent) response.setHeader('Connection', 'close')
}

/** Time for the answer to be read before what the client still sends resets the connection. */
const LAST_WORDS_MS = 1_000

function endSoon(socket: Socket): void {
  socket.end()
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LAST_WORDS_MS)
  socket.once('close', () => clearTimeout(timer))
}
