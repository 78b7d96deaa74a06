import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { type TestSchema, testSchema } from '../support/postgres.js'

let schema: TestSchema
let node: OpenPostgres

beforeEach(async () => {
  schema = testSchema()
  node = await schema.open()
})

afterEach(() => schema.drop())

const never = new AbortController().signal

async function started(): Promise<string> {
  const id = randomUUID()
  await node.registry.create({
    id,
    owner: null,
    kind: 'whole',
    protocol: 'tus',
    length: 5,
    metadata: null,
    filename: null,
  })
  return id
}

async function claim(id: string) {
  const request = { id, owner: null, protocol: 'tus' as const, start: 0, stop: null, declaredLength: null }
  return node.registry.claim(request)
}

test('a claim nobody here knows of is handed back once it is old, and no other', async () => {
  const [held, lost] = [await started(), await started()]
  const mine = await claim(held)
  await schema.run(`insert into $s.claims (upload_id, range, append, epoch, claimed_at)
    values ('${lost}', '[0,)', true, ${node.registry.epoch}, clock_timestamp() - interval '59 seconds')`)
  await node.dropOrphans()
  expect(await claim(lost)).toBeNull()
  await schema.run(`update $s.claims set claimed_at = clock_timestamp() - interval '61 seconds'`)
  await node.dropOrphans()
  expect(await claim(lost)).not.toBeNull()
  expect(await claim(held)).toBeNull()
  expect(mine?.yielded.aborted).toBe(false)
})

test('a lock nobody here knows of is given back once it is old, and no other', async () => {
  const mine = node.locker.newLock('mine')
  await mine.lock(never, () => undefined)
  await schema.run(`insert into $s.locks (key, token, epoch) values ('lost', 0, ${node.registry.epoch})`)
  await schema.run(`update $s.locks set locked_at = clock_timestamp() - interval '61 seconds'`)
  await node.dropOrphans()
  const keys = await schema.run<{ key: string }>('select key from $s.locks')
  expect(keys).toEqual([{ key: 'mine' }])
  await mine.unlock()
})

test('whoever has a lock is told to stop when the lease was lost, as another may have it by then', async () => {
  let told = 0
  const lock = node.locker.newLock('x')
  await lock.lock(never, () => {
    told += 1
  })
  await schema.run(`update $s.nodes set lease_until = clock_timestamp() - interval '1 second'`)
  await node.lease.beat()
  await Promise.resolve()
  expect(told).toBe(1)
  await lock.unlock()
})
