import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Answers under way, by connection: one after the other where a client sends its requests without waiting. */
const underWay = new WeakMap<Socket, Set<ServerResponse>>()

/**
 * Ends an answer with its connection also while it waits for its turn behind others: Node tells only the one whose turn it is, and
 * whoever writes to the rest would wait for ever. Returns how to stop.
 */
export function endWithConnection(response: ServerResponse): () => void {
  // Answers of HTTP/2 do not wait for each other.
  if (response.req.httpVersionMajor >= 2) return () => undefined
  const answers = answersOf(response.req.socket)
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
