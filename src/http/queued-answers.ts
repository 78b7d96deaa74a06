import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Answers under way, by connection: one after the other where a client sends its requests without waiting. */
const underWay = new WeakMap<Socket, Set<ServerResponse>>()

/**
 * Ends an answer with its connection also while it waits for its turn behind others: Node tells only the one whose turn it is, and
 * whoever writes to the rest would wait for ever. Returns how to stop.
 */
export function endWithConnection(request: IncomingMessage, response: ServerResponse): () => void {
  const { socket } = request
  // Answers of HTTP/2 do not wait for each other, nor those to requests that somebody made up.
  if (request.httpVersionMajor >= 2 || typeof socket?.once !== 'function') return () => undefined
  if (socket.destroyed) end(response)
  const answers = answersOf(socket)
  answers.add(response)
  return () => answers.delete(response)
}

function answersOf(socket: Socket): Set<ServerResponse> {
  const known = underWay.get(socket)
  if (known !== undefined) return known
  const answers = new Set<ServerResponse>()
  underWay.set(socket, answers)
  socket.once('close', () => {
    for (const response of answers) end(response)
  })
  return answers
}

function end(response: ServerResponse): void {
  if (response.socket !== null || response.destroyed) return
  response.destroy()
  response.emit('close')
}
