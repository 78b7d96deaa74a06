import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { UploadDraft } from '../../src/upload/ports.js'
import type { OnUploadRow } from '../../stores/postgres/creations.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { type TestSchema, testSchema } from '../support/postgres.js'

let schema: TestSchema
/** What the hook does in the test at hand. */
let hook: OnUploadRow
let node: OpenPostgres

beforeEach(async () => {
  schema = testSchema()
  hook = async (trx, upload) => {
    await trx
      .withSchema(schema.name)
      .insert({ upload_id: upload.id, title: upload.filename })
      .into('documents')
  }
  node = await schema.open({ onUploadRow: (trx, upload) => hook(trx, upload) })
  await schema.run(
    'create table $s.documents (upload_id uuid primary key references $s.uploads on delete cascade, title text)',
  )
})

afterEach(() => schema.drop())

function draft(facts: Partial<UploadDraft> = {}): UploadDraft {
  return {
    id: randomUUID(),
    owner: null,
    kind: 'whole',
    protocol: 'frago',
    length: 5,
    metadata: null,
    filename: 'a.txt',
    ...facts,
  }
}

async function part() {
  const made = draft({ kind: 'partial', protocol: 'tus' })
  await node.registry.createStored(made, { id: randomUUID(), epoch: node.registry.epoch }, 5)
  return { id: made.id, name: made.id }
}

async function titles(): Promise<readonly unknown[]> {
  return (await schema.run<{ title: string }>('select title from $s.documents order by title')).map(
    ({ title }) => title,
  )
}

test('a row of one’s own appears with each new upload, once, and goes with it', async () => {
  const { registry } = node
  const first = await registry.create(draft({ filename: '1' }))
  await registry.createStored(draft({ filename: '2' }), { id: randomUUID(), epoch: registry.epoch }, 5)
  const parts = [await part(), await part()]
  const final = { parts, owner: null, metadata: null, sent: null, filename: '3', maxSize: null }
  for (const repeated of [false, true]) {
    expect(await registry.concatenate({ ...final, id: randomUUID() })).toMatchObject({ repeated })
  }
  expect(await titles()).toEqual(['1', '2', '3', 'a.txt', 'a.txt'])
  await registry.terminate(first.id, null)
  expect(await titles()).toHaveLength(4)
})

test('when the hook throws nothing was made, and its error is thrown as it is', async () => {
  const { registry } = node
  const parts = [await part(), await part()]
  const before = await schema.run('select id from $s.uploads')
  const failure = new Error('no more documents')
  hook = () => Promise.reject(failure)
  const blob = { id: randomUUID(), epoch: registry.epoch }
  const final = { parts, owner: null, metadata: null, sent: null, filename: '3', maxSize: null }
  await expect(registry.create(draft())).rejects.toBe(failure)
  await expect(registry.createStored(draft(), blob, 5)).rejects.toBe(failure)
  await expect(registry.concatenate({ ...final, id: randomUUID() })).rejects.toBe(failure)
  expect(await schema.run('select id from $s.uploads')).toEqual(before)
  expect([...(await registry.knownBlobs(blob.epoch, [blob.id]))]).toEqual([])
})

test('an error of a statement that the hook swallows does not pass for success', async () => {
  hook = async (trx) => {
    await trx.raw('select * from no_such_table').catch(() => undefined)
  }
  await expect(node.registry.create(draft())).rejects.toMatchObject({ code: '25P02' })
  expect(await schema.run('select id from $s.uploads')).toEqual([])
})

test('what the hook says of the database is not taken for an outage of the registry’s', async () => {
  hook = async (trx) => {
    await trx.raw("do $$ begin raise exception using errcode = '57014'; end $$")
  }
  await expect(node.registry.create(draft())).rejects.toMatchObject({ code: '57014' })
})

test('a refused final is refused as without a hook', async () => {
  const request = { owner: null, metadata: null, sent: null, filename: null, maxSize: null }
  const parts = [{ id: randomUUID(), name: 'nowhere' }]
  const refused = node.registry.concatenate({ ...request, id: randomUUID(), parts })
  await expect(refused).rejects.toMatchObject({ code: 'part_not_found' })
})
