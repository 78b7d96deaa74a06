import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * How long the rest of a body is read after its request was answered (an upload refused at its first byte, say).
 * Closing at once would reset the connection and take the answer with it before the client has read it; reading on
 * for ever would let a client send gigabytes to nobody. nginx calls this lingering and takes 5 to 30 s.
 */
const LINGER_MS = 10_000

/** Reads and drops what is left of a request's body once it is answered, for a while, then ends the connection. */
export function dropLeftover(request: IncomingMessage, response: ServerResponse, linger = LINGER_MS): void {
  response.once('finish', () => {
    if (request.complete || request.destroyed) return
    const { socket } = request
    const timer = setTimeout(() => socket.destroy(), linger)
    const stop = () => clearTimeout(timer)
    request.once('end', stop)
    socket.once('close', stop)
    // Node does this only for bodies nobody has begun to read.
    request.resume()
  })
}
