import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, inject, onTestFinished, test } from 'vitest'
import { openTributary, type Tributary } from '../../src/index.js'
import { silent } from '../../src/upload/log.js'
import { connect } from '../../stores/postgres/database.js'
import { create, patch } from '../support/raw-tus.js'
import { databaseUrl } from '../support/server-process.js'

const MIB = 1024 * 1024

async function open(): Promise<Tributary> {
  const schema = `t_${randomUUID().replaceAll('-', '').slice(0, 12)}`
  const directory = await mkdtemp(join(tmpdir(), 'open-tributary-'))
  const database = { DATABASE_URL: databaseUrl(inject('database')), DATABASE_SCHEMA: schema }
  onTestFinished(async () => {
    const knex = connect(inject('database'), 1)
    await knex.raw(`drop schema if exists "${schema}" cascade`)
    await knex.destroy()
    await rm(directory, { recursive: true, force: true })
  })
  const settings = { PORT: '0', DATA_DIR: directory, ...database }
  return openTributary({ log: silent, settings })
}

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
    const tributary = await open()
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
