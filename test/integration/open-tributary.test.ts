import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { Tributary } from '../../src/index.js'
import { openHere } from '../support/open-tributary.js'
import { create, patch } from '../support/raw-tus.js'

const MIB = 1024 * 1024

/** Resolves when the first bytes of a download are there, of which no more are read until it is told to. */
async function download(url: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const asked = request(url, { agent: false }, (answer) => {
      answer.once('readable', () => resolve())
      onTestFinished(() => void answer.destroy())
      answer.on('error', () => undefined)
    })
    asked.on('error', reject)
    asked.end()
  })
}

const PORTS: Readonly<Record<string, (tributary: Tributary) => Promise<string>>> = {
  'a port of its own': (tributary) => tributary.listen(),
  'somebody else’s server': async ({ listener }) => {
    const server = createServer({ requestTimeout: 0 }, listener)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  },
}

test.each(Object.entries(PORTS))(
  'on %s it closes though a client reads no more of its download',
  async (_, listen) => {
    const { tributary } = await openHere()
    const upload = await create(`${await listen(tributary)}/files`, 32 * MIB)
    await patch(upload, 0, Buffer.alloc(32 * MIB))
    await download(upload)
    const [first, second] = [tributary.close(), tributary.close()]
    const late = sleep(60_000, 'not yet', { ref: false })
    expect(await Promise.race([second.then(() => 'closed'), late])).toBe('closed')
    // Whoever closes it once more waits for the same end.
    expect(await Promise.race([first.then(() => 'closed'), sleep(0, 'not yet')])).toBe('closed')
  },
)
