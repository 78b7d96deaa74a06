import type { ServerResponse } from 'node:http'

/**
 * Ends the connection of a client that reads no more of its answer (a download left open, a half-open socket): it
 * holds a file and memory. A request that has no answer yet is not touched; whoever handles it watches its body.
 */
export function endWhenStalled(response: ServerResponse, idleTimeout: number): void {
  response.setTimeout(idleTimeout, () => {
    if (response.headersSent && !response.writableFinished) response.destroy()
  })
}
