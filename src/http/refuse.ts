import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Answers what Node's parser could not take for a request, with a sentence, and ends the connection. Where an
 * answer is already on its way a second one would be read as a part of it: there the connection just ends.
 */
export function refuse(
  error: NodeJS.ErrnoException,
  socket: Socket,
  running: readonly ServerResponse[],
): void {
  const answering = running.some((response) => response.headersSent)
  if (!socket.writable || answering || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const [status, sentence] = meaning(error.code)
  const body = `${sentence}\n`
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  // A request cut short by this must notice, and a client that never closes its side must not hold the connection.
  socket.destroySoon()
}

function meaning(code: string | undefined): readonly [number, string] {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return [431, 'The headers of the request are too long.']
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return [413, 'The chunk extensions of the body are too long.']
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'The headers of the request did not arrive in time.']
    default:
      return [400, 'This is not an HTTP request the server understands.']
  }
}
