import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import type { ClaimRequest, UploadDraft } from '../../src/upload/ports.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { type TestSchema, testSchema } from '../support/postgres.js'

let schema: TestSchema
/** A session of its own, for transactions that stay open while others run. */
let session: pg.Client

beforeEach(async () => {
  schema = testSchema()
  const database = inject('database')
  session = new pg.Client(typeof database === 'string' ? { connectionString: database } : database)
  await session.connect()
})

afterEach(async () => {
  await session.end()
  await schema.drop()
})

function draft(facts: Partial<UploadDraft> = {}): UploadDraft {
  const id = randomUUID()
  return {
    id,
    owner: null,
    kind: 'whole',
    protocol: 'tus',
    length: 1000,
    metadata: null,
    filename: null,
    ...facts,
  }
}

function claimOf(id: string, start = 0): ClaimRequest {
  return { id, owner: null, protocol: 'tus', start, stop: null, declaredLength: null }
}

async function granted(node: OpenPostgres, id: string) {
  const claim = await node.registry.claim(claimOf(id))
  if (claim === null) throw new Error('held')
  return claim
}

/** Resolves when a statement of somebody else waits for a lock. */
async function somebodyWaits(): Promise<void> {
  for (;;) {
    const waiting = await schema.run(
      "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
    )
    if (waiting.length > 0) return
  }
}

test('who takes over waits for a late checkpoint of the holder, and sees it', async () => {
  const [a, b] = [await schema.open(), await schema.open()]
  const upload = await a.registry.create(draft())
  const claim = await granted(a, upload.id)
  await a.registry.checkpoint([{ claim, stop: 100 }])
  a.lease.pause()
  await schema.run(
    `update $s.nodes set lease_until = clock_timestamp() - interval '1 s' where epoch = ${claim.blob.epoch}`,
  )
  // As `checkpoint` does: the claim's row first, then what is received.
  await session.query('begin')
  await session.query(`select from "${schema.name}".claims where token = ${claim.token} for update`)
  await session.query(`update "${schema.name}".received set stop = 200 where upload_id = '${upload.id}'`)
  const taking = b.registry.claim(claimOf(upload.id, 100)).catch((error: unknown) => error)
  await somebodyWaits()
  await session.query('commit')
  expect(await taking).toMatchObject({ code: 'offset_mismatch', offset: 200 })
  const taken = await b.registry.claim(claimOf(upload.id, 200))
  expect(taken).toMatchObject({ blobOffset: 0, fresh: true })
})

test('every upload under way is given time, however often others are checkpointed', async () => {
  const a = await schema.open()
  const [slow, fast] = [await a.registry.create(draft()), await a.registry.create(draft())]
  const claims = { slow: await granted(a, slow.id), fast: await granted(a, fast.id) }
  const due = `update $s.uploads set expires_at = clock_timestamp() - interval '1 second' where id = '${slow.id}'`
  await a.registry.checkpoint([{ claim: claims.fast, stop: 1 }])
  await schema.run(due)
  await a.registry.checkpoint([{ claim: claims.slow, stop: 1 }])
  await schema.run("update $s.nodes set lease_until = '-infinity'")
  expect((await a.registry.find(slow.id, null))?.upload.status).toBe('in_progress')
})

test('an assembly whose taking was never answered is given back once it is old, and no other', async () => {
  const [a, b] = [await schema.open(), await schema.open()]
  const finalOf = async () => {
    const parts = []
    for (const _ of [1, 2]) {
      const part = draft({ kind: 'partial', length: 5 })
      await a.registry.createStored(part, { id: randomUUID(), epoch: a.registry.epoch }, 5)
      parts.push({ id: part.id, name: part.id })
    }
    const facts = { owner: null, metadata: null, sent: null, filename: null, maxSize: null }
    return (await a.registry.concatenate({ ...facts, id: randomUUID(), parts })).upload.id
  }
  const [lost, held] = [await finalOf(), await finalOf()]
  await a.registry.takeAssembly(held)
  await schema.run(`update $s.assemblies set epoch = ${a.registry.epoch}, target = $s.blobs.id,
    taken_at = clock_timestamp() from $s.blobs where upload_id = '${lost}' and not exists (
      select from $s.assemblies a where a.target = $s.blobs.id)`)
  await a.dropOrphans()
  expect(await b.registry.takeAssembly(lost)).toBeNull()
  await schema.run("update $s.assemblies set taken_at = clock_timestamp() - interval '61 seconds'")
  await a.dropOrphans()
  expect(await b.registry.takeAssembly(held)).toBeNull()
  expect(await b.registry.takeAssembly(lost)).not.toBeNull()
})
