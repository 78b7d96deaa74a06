import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { UploadDraft } from '../../src/upload/ports.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { Gate } from '../support/gate.js'
import { type TestSchema, testSchema } from '../support/postgres.js'

/** A lease is 4 s long. */
const LONGER_THAN_A_LEASE = 4_500

let schema: TestSchema

beforeEach(() => {
  schema = testSchema()
})

afterEach(() => schema.drop())

function draft(facts: Partial<UploadDraft> = {}): UploadDraft {
  return {
    id: randomUUID(),
    owner: null,
    kind: 'whole',
    protocol: 'frago',
    length: 10,
    metadata: null,
    filename: null,
    ...facts,
  }
}

async function claimed({ registry }: OpenPostgres, id: string) {
  const range = { start: 0, stop: 10, declaredLength: null }
  const claim = await registry.claim({ id, owner: null, protocol: 'frago', ...range })
  if (claim === null) throw new Error('held')
  return claim
}

async function isAlive({ registry }: OpenPostgres): Promise<boolean> {
  const rows = await schema.run(
    `select from $s.nodes where epoch = ${registry.epoch} and lease_until > clock_timestamp()`,
  )
  return rows.length > 0
}

test('slow hooks of many uploads cost a node neither its lease nor its connections', async () => {
  const gate = new Gate()
  let running = 0
  let slow = false
  const node = await schema.open({
    onUploadRow: async (trx) => {
      if (!slow) return
      running += 1
      await trx.raw('select 1')
      await gate.opened
    },
  })
  const { epoch } = node.registry
  const { id } = await node.registry.create(draft())
  const claim = await claimed(node, id)
  slow = true
  const creating = Array.from({ length: 20 }, () => node.registry.create(draft()))
  await sleep(LONGER_THAN_A_LEASE)
  expect(running).toBe(4)
  expect(await node.registry.record(claim, 10)).toMatchObject({ upload: { offset: 10 } })
  expect([node.registry.epoch, await isAlive(node)]).toEqual([epoch, true])
  gate.open()
  expect(await Promise.all(creating)).toHaveLength(20)
})

test('a pool without a connection left costs a node no lease', async () => {
  const node = await schema.open()
  const { epoch } = node.registry
  const { id } = await node.registry.create(draft())
  const claim = await claimed(node, id)
  const { client } = node.database.knex as unknown as {
    client: { acquireConnection(): Promise<object>; releaseConnection(connection: object): Promise<void> }
  }
  const taken = await Promise.all(Array.from({ length: 10 }, () => client.acquireConnection()))
  await sleep(LONGER_THAN_A_LEASE)
  expect([node.registry.epoch, await isAlive(node)]).toEqual([epoch, true])
  await Promise.all(taken.map((connection) => client.releaseConnection(connection)))
  expect(await node.registry.record(claim, 10)).toMatchObject({ upload: { offset: 10 } })
})

test('many lists at once leave the pool to others', async () => {
  const node = await schema.open()
  const { pool } = node.database.knex.client as { pool: { numUsed(): number } }
  // Whoever reads uploads waits for this.
  const { knex } = node.database
  const trx = await knex.transaction()
  await trx.raw(`lock table "${schema.name}".uploads in access exclusive mode`)
  const lists = Array.from({ length: 20 }, () => node.registry.list(null, 10))
  for (let look = 0; look < 20; look++) await node.registry.check()
  expect(pool.numUsed()).toBeLessThanOrEqual(3)
  await trx.commit()
  expect(await Promise.all(lists)).toHaveLength(20)
})
