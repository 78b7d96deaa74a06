import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import type { Connection } from '../../stores/postgres/database.js'
import { findPgBouncer, PgBouncer } from '../support/pgbouncer.js'
import { testSchema } from '../support/postgres.js'
import {
  at,
  concatenate,
  create,
  createPart,
  downloadedDigest,
  head,
  openPatch,
  patch,
} from '../support/raw-tus.js'
import { seededBytes, sha256 } from '../support/seeded.js'
import { ServerGroup } from '../support/server-group.js'
import { type DatabaseSettings, databaseUrl, type ServerProcess } from '../support/server-process.js'
import { spawnTributary } from '../support/tributary.js'

const program = await findPgBouncer()

let pooler: PgBouncer

beforeAll(async () => {
  if (program !== null) pooler = await PgBouncer.start(program)
})

afterAll(() => pooler?.end())

describe.for([
  ['a way around it', () => inject('database')],
  ['no way around it', () => pooler.database],
] as const)('two servers behind pgbouncer with %s', ([, direct]) => {
  let group: ServerGroup
  let one: ServerProcess
  let two: ServerProcess

  beforeAll(async () => {
    if (program === null) return
    group = await ServerGroup.make()
    const env = { DATABASE_DIRECT_URL: databaseUrl(direct()) }
    ;[one, two] = await Promise.all([group.start(pooler.database, env), group.start(pooler.database, env)])
  })

  afterAll(() => group?.end())

  test('join 32 parts that come in at once', async ({ skip }) => {
    if (program === null) return skip('pgbouncer is not installed')
    const pieces = Array.from({ length: 32 }, (_, index) => seededBytes(`pooled ${index}`, 2_000 + index))
    const parts = await Promise.all(
      pieces.map(async (piece, index) => {
        const part = await createPart((index % 2 === 0 ? one : two).endpoint, piece.length)
        for (const [offset, stop] of [
          [0, 500],
          [500, piece.length],
        ] as const) {
          const { endpoint } = (index + offset) % 3 === 0 ? two : one
          const { status, body } = await patch(at(endpoint, part), offset, piece.subarray(offset, stop))
          expect([status, body]).toEqual([204, ''])
        }
        return part
      }),
    )
    const final = await concatenate(two.endpoint, parts)
    const content = Buffer.concat(pieces)
    const { status, headers } = await head(at(one.endpoint, final))
    expect([status, headers['upload-length']]).toEqual([200, String(content.length)])
    expect(await downloadedDigest(at(one.endpoint, final))).toBe(sha256(content))
    for (const { output } of [one, two]) expect(output).not.toMatch(/prepared statement|"level":50/)
  })

  test('hand an upload over', async ({ skip }) => {
    if (program === null) return skip('pgbouncer is not installed')
    const content = seededBytes('pooled hand-over', 500_000)
    const sent = 300_001
    const upload = await create(one.endpoint, content.length)
    const stale = openPatch(upload, 0, content.length)
    await stale.write(content.subarray(0, sent))
    await group.untilStored(upload, sent)

    const began = performance.now()
    const { status, headers } = await head(at(two.endpoint, upload))
    const took = performance.now() - began
    expect([status, headers['upload-offset']]).toEqual([200, String(sent)])
    expect((await stale.answer).status).toBe(423)
    expect((await patch(at(two.endpoint, upload), sent, content.subarray(sent))).status).toBe(204)
    expect(await downloadedDigest(upload)).toBe(sha256(content))
    console.log(`hand-over behind pgbouncer: ${took.toFixed(0)} ms`)
  })
})

describe('a start behind pgbouncer', () => {
  test('that was not told of it ends with one sentence', async ({ skip }) => {
    if (program === null) return skip('pgbouncer is not installed')
    const tributary = await spawnTributary({ env: { DATABASE_URL: databaseUrl(pooler.database) } })
    const { code } = await tributary.exited
    expect({ code, stdout: tributary.stdout }).toEqual({ code: 1, stdout: '' })
    expect(tributary.stderr).toMatch(
      /^DATABASE_URL: the database cannot be used: A pooler .* give DATABASE_DIRECT_URL .*startup parameter.*\n$/,
    )
  })

  test('that drops what it cannot set is found out all the same', async ({ skip }) => {
    if (program === null) return skip('pgbouncer is not installed')
    const lenient = await PgBouncer.start(program, 'statement_timeout')
    onTestFinished(() => lenient.end())
    await expect(open(lenient.database)).rejects.toThrow(/DATABASE_DIRECT_URL/)
  })

  test('is refused where commits would not be waited for', async ({ skip }) => {
    if (program === null) return skip('pgbouncer is not installed')
    await expect(open(pooler.careless, inject('database'))).rejects.toThrow(
      /alter role \S+ set synchronous_commit = on/,
    )
  })

  async function open(connection: DatabaseSettings, directConnection?: Connection): Promise<void> {
    const schema = testSchema()
    onTestFinished(() => schema.drop())
    await schema.open({ connection, ...(directConnection !== undefined && { directConnection }) })
  }
})
