import { createServer } from 'node:net'

/**
 * A port that nobody listens on. Workers are given one number: each asking for any free port would get the same one
 * from node:cluster, but only until all of them have died.
 */
export async function freePort(host: string): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port: 0 }, resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('A server without a TCP address.')
  return address.port
}
