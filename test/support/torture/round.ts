import type { ServerProcess } from '../server-process.js'
import { ACTIONS } from './actions.js'
import { Client, Cut } from './client.js'
import { Doom, drawFuse } from './doom.js'
import type { Journal } from './journal.js'

/** As many as do not only wait for each other on two cores. */
const CLIENTS = 5

/** Clients do what comes to their mind until the server is killed under them. Resolves when it is gone. */
export async function killUnderClients(
  server: ServerProcess,
  journal: Journal,
  random: () => number,
): Promise<void> {
  const doom = new Doom(drawFuse(random))
  const clients = Array.from({ length: CLIENTS }, () => busyClient(server.endpoint, doom, journal, random))
  // A client that found something wrong ends the round at once.
  await Promise.race([doom.come, Promise.all(clients)])
  await server.kill()
  await Promise.all(clients)
}

async function busyClient(
  endpoint: string,
  doom: Doom,
  journal: Journal,
  random: () => number,
): Promise<void> {
  const client = new Client(endpoint, doom)
  try {
    while (!doom.hasStruck) {
      const action = ACTIONS[Math.floor(random() * ACTIONS.length)]
      await action?.(client, journal, random)
    }
  } catch (error) {
    if (!(error instanceof Cut)) throw error
  }
}
