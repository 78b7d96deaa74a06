import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** `half-open`: nothing is forwarded any more, and neither side is told. */
export type CutKind = 'fin' | 'rst' | 'half-open'

export type CutPoint =
  /** After so many bytes to the server. */
  | { readonly sent: number }
  /** After so many bytes to the client. */
  | { readonly answered: number }
  /** Once the client has sent so many bytes, the next thing the server says is lost: it acted, nobody learns of it. */
  | { readonly answerLostAfter: number }

export interface Cut {
  readonly at: CutPoint
  readonly how: CutKind
}

/** What is to happen to the connection of this number, counted from 0; null: nothing. */
export type CutPlan = (connection: number) => Cut | null

/** A port of this machine, or the path of a Unix socket. */
export type Target = number | string

const NEVER: CutPlan = () => null

/** A TCP proxy that cuts connections. With several targets each connection goes to the next one, in turn. */
export class CuttingProxy {
  readonly #server: Server
  readonly #targets: readonly Target[]
  readonly #running = new Set<Connection>()
  #plan: CutPlan
  #connections = 0
  readonly #cuts: Cut[] = []

  private constructor(targets: readonly Target[], plan: CutPlan) {
    this.#targets = targets
    this.#plan = plan
    this.#server = createServer({ noDelay: true }, (client) => this.#serve(client))
  }

  static async open(targets: readonly Target[], plan: CutPlan = NEVER): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(targets, plan)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
    return address.port
  }

  /** The same address through the proxy. */
  through(url: string): string {
    const turned = new URL(url)
    turned.port = String(this.port)
    return turned.href
  }

  get connections(): number {
    return this.#connections
  }

  /** The cuts made so far. */
  get cuts(): readonly Cut[] {
    return this.#cuts
  }

  /** What happens to connections from now on. */
  follow(plan: CutPlan): void {
    this.#plan = plan
  }

  /** Cuts every connection there is now. */
  cutAll(how: CutKind): void {
    for (const connection of this.#running) connection.cut(how)
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const connection of this.#running) connection.destroy()
    await closed
  }

  #serve(client: Socket): void {
    const number = this.#connections++
    const target = this.#targets[number % this.#targets.length]
    if (target === undefined) throw new Error('the proxy has no target')
    const server =
      typeof target === 'string'
        ? connect(target)
        : connect({ host: '127.0.0.1', port: target, noDelay: true })
    const connection = new Connection(client, server, this.#plan(number), (cut) => this.#cuts.push(cut))
    this.#running.add(connection)
    for (const [socket, peer] of [
      [client, server],
      [server, client],
    ] as const) {
      socket.once('close', () => {
        if (peer.closed) this.#running.delete(connection)
      })
    }
  }
}

/** One client, one server, and the bytes between them. */
class Connection {
  readonly #client: Socket
  readonly #server: Socket
  readonly #planned: Cut | null
  readonly #made: (cut: Cut) => void
  #sent = 0
  #answered = 0
  #over = false

  constructor(client: Socket, server: Socket, planned: Cut | null, made: (cut: Cut) => void) {
    this.#client = client
    this.#server = server
    this.#planned = planned
    this.#made = made
    client.on('data', (bytes) => this.#onSent(bytes))
    server.on('data', (bytes) => this.#onAnswered(bytes))
    this.#mirror(client, server)
    this.#mirror(server, client)
  }

  cut(how: CutKind): void {
    this.#over = true
    for (const socket of [this.#client, this.#server]) {
      if (how === 'half-open') socket.pause()
      else finish(socket, how)
    }
  }

  destroy(): void {
    this.#client.destroy()
    this.#server.destroy()
  }

  #onSent(bytes: Buffer): void {
    if (this.#over) return
    const at = this.#planned?.at
    const room = at && 'sent' in at ? at.sent - this.#sent : Number.POSITIVE_INFINITY
    this.#sent += bytes.length
    this.#forward(this.#client, this.#server, bytes.subarray(0, Math.max(0, room)))
    if (bytes.length >= room) this.#cutAsPlanned()
  }

  #onAnswered(bytes: Buffer): void {
    if (this.#over) return
    const at = this.#planned?.at
    if (at && 'answerLostAfter' in at && this.#sent >= at.answerLostAfter) {
      this.#cutAsPlanned()
      return
    }
    const room = at && 'answered' in at ? at.answered - this.#answered : Number.POSITIVE_INFINITY
    this.#answered += bytes.length
    this.#forward(this.#server, this.#client, bytes.subarray(0, Math.max(0, room)))
    if (bytes.length >= room) this.#cutAsPlanned()
  }

  #cutAsPlanned(): void {
    if (this.#planned === null) return
    this.#made(this.#planned)
    this.cut(this.#planned.how)
  }

  #forward(from: Socket, to: Socket, bytes: Buffer): void {
    if (bytes.length === 0 || to.write(bytes)) return
    from.pause()
    to.once('drain', () => {
      if (!this.#over) from.resume()
    })
  }

  /** What ends on one side ends on the other, unless the connection is cut: then nobody is told. */
  #mirror(from: Socket, to: Socket): void {
    from.on('end', () => {
      if (!this.#over) to.end()
    })
    // After an error comes 'close'.
    from.on('error', () => undefined)
    from.on('close', (failed) => {
      if (this.#over) return
      if (failed) reset(to)
      else to.destroySoon()
    })
  }
}

function finish(socket: Socket, how: 'fin' | 'rst'): void {
  if (how === 'rst') {
    reset(socket)
    return
  }
  socket.end()
  // Bytes left unread would turn the FIN into a RST.
  socket.removeAllListeners('data').resume()
}

/** A Unix socket knows no RST. */
function reset(socket: Socket): void {
  if (socket.remoteFamily === undefined) socket.destroy()
  else socket.resetAndDestroy()
}
