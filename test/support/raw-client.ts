import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A connection that says exactly what a test wants said, HTTP or not. */
export class RawClient {
  readonly socket: Socket
  /** Settles when the connection is closed, in whatever way. */
  readonly closed: Promise<void>
  received = ''
  /** The system's code, when the connection was reset. */
  error: string | null = null

  private constructor(socket: Socket) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.setEncoding('latin1').on('data', (text: string) => {
      this.received += text
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message
    })
  }

  static async open(port: number, options: { allowHalfOpen?: boolean } = {}): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', ...options })
    await once(socket, 'connect')
    onTestFinished(() => void socket.destroy())
    return new RawClient(socket)
  }

  /** Says something; resolves when the system has taken it. */
  async say(text: string | Buffer): Promise<void> {
    await new Promise<void>((resolve) => this.socket.write(text, () => resolve()))
  }

  /** Resolves when `text` was received; rejects when the connection closes before. */
  async hear(text: string | RegExp): Promise<string> {
    const heard = () => (typeof text === 'string' ? this.received.includes(text) : text.test(this.received))
    while (!heard()) {
      if (this.socket.destroyed) throw new Error(`Closed (${this.error}) before ${text}: ${this.received}`)
      await Promise.race([once(this.socket, 'data'), this.closed])
    }
    return this.received
  }

  /** The status of the first answer. */
  async status(): Promise<number> {
    await this.hear(/^HTTP\/1\.1 \d{3} /)
    return Number(this.received.slice(9, 12))
  }

  /** Vanishes: the other side gets a reset. */
  reset(): void {
    this.socket.resetAndDestroy()
  }
}
