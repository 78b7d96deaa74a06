import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import { KeyedBytes } from '../support/keyed-bytes.js'
import { at, concatenate, createPart, patch } from '../support/raw-tus.js'
import { ServerGroup } from '../support/server-group.js'
import { ServerProcess } from '../support/server-process.js'
import { digestOf, joined } from '../support/torture/content.js'

const MIB = 1024 * 1024

let group: ServerGroup
let servers: ServerProcess[]

beforeEach(async () => {
  group = await ServerGroup.make()
  servers = []
})

afterEach(async () => {
  await Promise.all(servers.map((server) => server.end()))
  await group.end()
})

test('a slow download of a final goes on at the same byte while another server assembles it', async () => {
  const slow = await startWithoutAssembling()
  const contents = ['one', 'two', 'three'].map((key) => new KeyedBytes(key, 12 * MIB))
  const parts: string[] = []
  for (const content of contents) {
    const part = await createPart(slow.endpoint, content.length)
    expect((await patch(part, 0, content.slice())).status).toBe(204)
    parts.push(part)
  }
  const final = await concatenate(slow.endpoint, parts)
  const readers = await Promise.all([final, at(slow.endpoint, parts[2] ?? '')].map(beginReading))

  await group.start()
  await expect.poll(() => group.count('select count(*) from $s.assemblies'), { interval: 100 }).toBe(0)
  await expect.poll(() => group.count('select count(*) from $s.blobs')).toBe(1)

  const whole = joined(contents)
  expect(await finishReading(readers[0])).toBe(digestOf(whole))
  expect(await finishReading(readers[1])).toBe(contents[2]?.sha256())
})

async function startWithoutAssembling(): Promise<ServerProcess> {
  const { dataDir, schema } = group
  const settings = { dataDir, database: inject('database'), schema: schema.name }
  const server = await ServerProcess.start({ ...settings, env: { ASSEMBLY: 'never' } })
  servers.push(server)
  return server
}

/** A download whose first bytes are here; the others wait, as the sockets hold far less than there are. */
async function beginReading(url: string): Promise<IncomingMessage> {
  const sent = request(url).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  expect(response.statusCode).toBe(200)
  await once(response, 'readable')
  return response
}

async function finishReading(response: IncomingMessage | undefined): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of response ?? []) hash.update(piece as Buffer)
  return hash.digest('hex')
}
