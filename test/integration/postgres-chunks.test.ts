import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterEach, beforeEach, expect, inject, test } from 'vitest'
import type { Claim, ClaimRequest, CompleteRequest, UploadDraft } from '../../src/upload/ports.js'
import { listSql } from '../../stores/postgres/listings.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { orphansSql } from '../../stores/postgres/publications.js'
import { openDatabaseProxy } from '../support/database-proxy.js'
import { type TestSchema, testSchema } from '../support/postgres.js'

let schema: TestSchema
let node: OpenPostgres

beforeEach(async () => {
  schema = testSchema()
  node = await schema.open()
})

afterEach(() => schema.drop())

function draft(facts: Partial<UploadDraft> = {}): UploadDraft {
  return {
    id: randomUUID(),
    owner: null,
    kind: 'whole',
    protocol: 'frago',
    length: 100_000,
    metadata: null,
    filename: 'a.txt',
    ...facts,
  }
}

function claimOf(id: string, start: number, stop: number): ClaimRequest {
  return { id, owner: null, protocol: 'frago', start, stop, declaredLength: null }
}

async function claimed(id: string, start: number, stop: number): Promise<Claim> {
  const claim = await node.registry.claim(claimOf(id, start, stop))
  if (claim === null) throw new Error('held')
  return claim
}

function finish(id: string, publishAs: string | null = null): CompleteRequest {
  return { id, owner: null, protocol: 'frago', digest: null, token: null, publishAs }
}

/** An upload with so many chunks of ten bytes, one after the other. */
async function manyChunks(count: number): Promise<string> {
  const { id } = await node.registry.create(draft({ length: count * 10 + 100 }))
  await node.registry.record(await claimed(id, 0, 10), 10)
  await schema.run(`insert into $s.received (upload_id, start, stop)
    select '${id}', n * 10, n * 10 + 10 from generate_series(1, ${count} - 1) n`)
  await schema.run(`update $s.uploads set prefix = ${count * 10} where id = '${id}'`)
  return id
}

async function published(filename: string): Promise<string> {
  const { id } = await node.registry.create(draft({ length: 0, filename }))
  await node.registry.complete(finish(id, filename))
  return id
}

test.for(['first', 'next', 'apart', 'again'] as const)(
  'ten thousand chunks do not slow the %s one down',
  async (which) => {
    const end = 100_000
    const [start, stop] = {
      first: [0, 5],
      next: [end, end + 10],
      apart: [end + 20, end + 30],
      again: [500, 510],
    }[which]
    const id = await manyChunks(10_000)
    await schema.run('analyze $s.received')
    const database = inject('database')
    const session = new pg.Client(typeof database === 'string' ? { connectionString: database } : database)
    await session.connect()
    try {
      await session.query('begin')
      const claim = `select "${schema.name}".claim_range($1, null, 'frago', $2, $3, null, $4, $5) as value`
      const { rows } = await session.query(claim, [id, start, stop, node.registry.epoch, randomUUID()])
      const { value } = rows[0] as { value: { token: number; replaces?: object; blob: { id: string } } }
      const { token, replaces, blob } = value
      if (replaces) {
        const record = `select "${schema.name}".record_replacement('none', $1, $2, $3, $4, $5)`
        await session.query(record, [id, token, stop, blob.id, node.registry.epoch])
      } else {
        await session.query(`select "${schema.name}".record_range('none', $1, $2, $3, null)`, [
          id,
          token,
          stop,
        ])
      }
      const looked = await session.query<{ rows: string }>(
        `select seq_tup_read + coalesce(idx_tup_fetch, 0) as rows from pg_stat_xact_user_tables
         where schemaname = $1 and relname = 'received'`,
        [schema.name],
      )
      expect(Number(looked.rows[0]?.rows)).toBeLessThan(20)
      await session.query('commit')
    } finally {
      await session.end()
    }
    const expected = { first: 5, next: end + 10, apart: end, again: end }[which]
    expect((await node.registry.find(id, null))?.upload.offset).toBe(expected)
  },
)

test('the list of one owner among many is read from indexes', async () => {
  await schema.run(`insert into $s.uploads (id, owner, kind, protocol, length, status, completed_at)
    select gen_random_uuid(), case when n % 1000 > 0 then 'owner ' || n % 1000 end, 'whole', 'frago', 100,
      case when n % 2 = 0 then 'complete' else 'in_progress' end, case when n % 2 = 0 then clock_timestamp() end
    from generate_series(1, 20000) n`)
  await schema.run(`insert into $s.received (upload_id, start, stop)
    select u.id, n * 10, n * 10 + 10 from $s.uploads u, generate_series(0, 2) n where status = 'in_progress'`)
  await schema.run('analyze')
  const { knex, s } = node.database
  for (const [sql, bindings] of [
    [listSql(s, false), ['owner 7', 'owner 7', 100, 'owner 8', 'owner 8', 100]],
    [listSql(s, true), [100, 100]],
  ] as const) {
    const { rows } = (await knex.raw(`explain ${sql}`, bindings)) as { rows: { 'QUERY PLAN': string }[] }
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
    expect(plan).toContain('uploads_listed_complete')
    expect(plan).toContain('uploads_listed_open')
    expect(plan).toContain('received_pkey')
    expect(plan).not.toContain('Seq Scan')
  }
  expect(await node.registry.list('owner 7', 100)).toHaveLength(20)
  expect(await node.registry.list(null, 5)).toHaveLength(5)
})

/** Rows of a table that a statement looks at, the plans of the functions it calls included, once they are settled. */
async function rowsLookedAt(table: string, sql: string): Promise<number> {
  const database = inject('database')
  const session = new pg.Client(typeof database === 'string' ? { connectionString: database } : database)
  await session.connect()
  const looked = async () => {
    const { rows } = await session.query<{ rows: string }>(
      `select seq_tup_read + coalesce(idx_tup_fetch, 0) as rows from pg_stat_xact_user_tables
       where schemaname = $1 and relname = $2`,
      [schema.name, table],
    )
    return Number(rows[0]?.rows)
  }
  try {
    await session.query('begin')
    for (let run = 0; run < 10; run++) await session.query(sql)
    const before = await looked()
    await session.query(sql)
    return (await looked()) - before
  } finally {
    await session.end()
  }
}

test('turns to publish that nobody here knows of are found without a look at all that was published', async () => {
  await schema.run(`insert into $s.publications (upload_id, filename, name, epoch, taken_at, published_at, released_at)
    select gen_random_uuid(), 'a', 'a', case when n % 1000 = 0 then 1 end, clock_timestamp() - interval '1 day',
      case when n % 1000 > 0 then clock_timestamp() end, null from generate_series(1, 20000) n`)
  await schema.run('analyze')
  const { knex, s } = node.database
  const explained = (await knex.raw(`explain ${orphansSql(s)}`, [1, [], 'none'])) as {
    rows: { 'QUERY PLAN': string }[]
  }
  const plan = explained.rows.map((row) => row['QUERY PLAN']).join('\n')
  expect(plan).toContain('publications_due')
  expect(plan).toMatch(/Index Cond: \(taken_at </)
  expect(plan).not.toContain('Seq Scan')
})

test('published files to let go of, and uploads to expire, are found without a look at those that stay', async () => {
  await schema.run(`with made as (
      insert into $s.uploads (id, kind, protocol, length, status, completed_at)
      select gen_random_uuid(), 'whole', 'frago', 100, 'complete', clock_timestamp() from generate_series(1, 10000)
      returning id)
    insert into $s.publications (upload_id, filename, name, published_at)
    select id, 'a', 'a', clock_timestamp() from made`)
  await schema.run(`insert into $s.uploads (id, kind, protocol, length, expires_at)
    select gen_random_uuid(), 'whole', 'frago', 100, clock_timestamp() + interval '1 day' from generate_series(1, 10000)`)
  await schema.run('analyze')
  const release = `select "${schema.name}".release_published('1 hour', 100)`
  const expire = `select "${schema.name}".expire_due(100)`
  // The planner looks at the ends of an index.
  expect(await rowsLookedAt('publications', release)).toBeLessThan(10)
  expect(await rowsLookedAt('uploads', release)).toBeLessThan(10)
  expect(await rowsLookedAt('uploads', expire)).toBeLessThan(10)
})

test('a publishing whose transaction breaks after the file was placed is tried again', async () => {
  const id = await published('a.txt')
  const publication = { uploadId: id, filename: 'a.txt', name: null, identity: null }
  let places = 0
  const place = async () => {
    places += 1
    if (places === 1) {
      await schema.run(`select pg_terminate_backend(pid) from pg_stat_activity
        where state = 'idle in transaction' and query like '%${schema.name}%' and pid <> pg_backend_pid()`)
    }
    return { name: 'a.txt', identity: 'inode', holderName: null }
  }
  await expect(node.registry.publish(publication, place)).rejects.toMatchObject({
    code: 'registry_unavailable',
  })
  expect(await node.registry.takePublication(id)).toMatchObject({ outcome: 'ours' })
  expect(await node.registry.publish(publication, place)).toMatchObject({ upload: { id }, first: true })
  expect(places).toBe(2)
  expect(await node.registry.takePublication(id)).toEqual({ outcome: 'done' })
})

test('a commit that is never answered is not waited for without end', async () => {
  const { proxy, database } = await openDatabaseProxy()
  const behind = await schema.open({ connection: database })
  const id = await published('a.txt')
  const publication = { uploadId: id, filename: 'a.txt', name: null, identity: null }
  try {
    await expect(
      behind.registry.publish(publication, async () => {
        proxy.cutAll('half-open')
        return { name: 'a.txt', identity: 'inode', holderName: null }
      }),
    ).rejects.toMatchObject({ code: 'registry_unavailable' })
    // The pool is whole again.
    expect(await behind.registry.find(id, null)).toMatchObject({ upload: { id } })
  } finally {
    await behind.close()
    await proxy.close()
  }
})

test('many publishings of one filename leave the pool to others', async () => {
  const ids = await Promise.all(Array.from({ length: 40 }, () => published('a.txt')))
  const { pool } = node.database.knex.client as { pool: { numUsed(): number } }
  let placing = 0
  const all = ids.map((uploadId, index) =>
    node.registry.publish({ uploadId, filename: 'a.txt', name: null, identity: null }, async (holder) => {
      expect(++placing).toBe(1)
      expect(pool.numUsed()).toBeLessThan(5)
      await node.registry.check()
      placing -= 1
      return { name: 'a.txt', identity: `${index}`, holderName: holder && `a_${index}.txt` }
    }),
  )
  await Promise.all(all)
  const names = await schema.run<{ name: string }>('select distinct name from $s.publications')
  expect(names).toHaveLength(40)
})

test('who removes an upload that is being published waits, and learns the name', async () => {
  const other = await schema.open()
  const id = await published('a.txt')
  const publication = { uploadId: id, filename: 'a.txt', name: null, identity: null }
  let ending: ReturnType<typeof other.registry.terminate> | undefined
  await node.registry.publish(publication, async () => {
    ending = other.registry.terminate(id, null)
    await waitsForLock()
    return { name: 'a.txt', identity: 'inode', holderName: null }
  })
  expect(await ending).toMatchObject({ published: { name: 'a.txt', identity: 'inode' } })
})

test('turns whose taking was never answered are given back once they are old, and no others', async () => {
  const other = await schema.open()
  const [held, lost] = [await published('held.txt'), await published('lost.txt')]
  await node.registry.takeDigest(held, 'md5')
  await schema.run(
    `insert into $s.digests (upload_id, algorithm, epoch) values ('${lost}', 'md5', ${node.registry.epoch})`,
  )
  await schema.run("update $s.digests set taken_at = clock_timestamp() - interval '61 seconds'")
  await schema.run("update $s.publications set taken_at = clock_timestamp() - interval '61 seconds'")
  await node.dropOrphans()
  expect(await other.registry.takeDigest(held, 'md5')).toEqual({ outcome: 'elsewhere' })
  expect(await other.registry.takeDigest(lost, 'md5')).toMatchObject({ outcome: 'ours' })
  expect(await other.registry.unpublished(10)).toEqual([])
  // As if the node had completed it and never heard of that.
  const unheard = await node.registry.create(draft({ length: 0 }))
  await schema.run(
    `select $s.complete_chunks('none', '${unheard.id}', null, 'frago', null, null, null, 'a.txt', ${node.registry.epoch})`,
  )
  await node.dropOrphans()
  expect(await other.registry.unpublished(10)).toEqual([])
  await schema.run("update $s.publications set taken_at = clock_timestamp() - interval '61 seconds'")
  await node.dropOrphans()
  expect(await other.registry.unpublished(10)).toEqual([unheard.id])
})

test('who takes the turn for a digest waits for a replacement under way, and sees it', async () => {
  const { id } = await node.registry.create(draft({ length: 10 }))
  await node.registry.record(await claimed(id, 0, 10), 10)
  const claim = await claimed(id, 0, 10)
  const { knex } = node.database
  const trx = await knex.transaction()
  await trx.raw(`select "${schema.name}".record_replacement('none', ?, ?, 10, ?, ?)`, [
    id,
    claim.token,
    claim.blob.id,
    claim.blob.epoch,
  ])
  const taking = node.registry.takeDigest(id, 'md5')
  await waitsForLock()
  await trx.commit()
  expect(await taking).toMatchObject({ outcome: 'ours' })
  expect(await node.registry.prefix(id)).toMatchObject({ stop: 10, extents: [{ blob: claim.blob }] })
})

test('pieces that follow each other in the upload and in their blob are one when it is complete', async () => {
  const { id } = await node.registry.create(draft({ length: 10 }))
  await node.registry.record(await claimed(id, 0, 10), 10)
  await schema.run(`insert into $s.extents select upload_id, n, n + 2, blob_id, n from $s.extents,
    (values (2), (4), (6), (8)) as cut(n) where upload_id = '${id}'`)
  await schema.run(`update $s.extents set stop = 2 where upload_id = '${id}' and start = 0`)
  await schema.run(`update $s.extents set blob_offset = 100 where upload_id = '${id}' and start > 4`)
  await schema.run(`update $s.extents set blob_offset = 102 where upload_id = '${id}' and start = 8`)
  await node.registry.complete(finish(id))
  expect(await node.registry.extents(id, null)).toMatchObject([
    { start: 0, stop: 6, blobOffset: 0 },
    { start: 6, stop: 10, blobOffset: 100 },
  ])
  expect(await node.registry.takeAssembly(id)).not.toBeNull()
})

test('a replacement whose record was answered to nobody keeps its blob, even once the upload is complete', async () => {
  const { id } = await node.registry.create(draft({ length: 10 }))
  await node.registry.record(await claimed(id, 0, 10), 10)
  const claim = await claimed(id, 0, 10)
  await node.registry.record(claim, 10)
  await node.registry.complete(finish(id))
  expect(await node.registry.record(claim, 10)).toMatchObject({ upload: { id, status: 'complete' } })
})

test('chunks of an upload and a look at it never deadlock', async () => {
  const other = await schema.open()
  const { id } = await node.registry.create(draft({ length: 400 }))
  const work = Array.from({ length: 40 }, async (_, index) => {
    const { registry } = index % 2 === 0 ? node : other
    for (let round = 0; round < 3; round++) {
      const claim = await registry.claim(claimOf(id, index * 10, index * 10 + 10))
      if (claim) await registry.record(claim, index * 10 + 10)
      await registry.takeDigest(id, 'md5')
      await registry.describe(id, null)
    }
  })
  await Promise.all(work)
  expect((await node.registry.find(id, null))?.upload.offset).toBe(400)
  expect(await node.registry.complete(finish(id))).toMatchObject({ first: true })
})

/** Resolves when a statement of this schema waits for a lock. */
async function waitsForLock(): Promise<void> {
  for (;;) {
    const waiting = await schema.run(
      `select from pg_stat_activity where wait_event_type = 'Lock' and query like '%${schema.name}%' and pid <> pg_backend_pid()`,
    )
    if (waiting.length > 0) return
  }
}
