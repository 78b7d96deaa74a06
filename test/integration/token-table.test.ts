import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Database } from '../../stores/postgres/database.js'
import { TokenTable } from '../../stores/postgres/token-table.js'
import { type TestSchema, testSchema } from '../support/postgres.js'

let schema: TestSchema
let database: Database
beforeEach(async () => {
  schema = testSchema()
  database = (await schema.open()).database
  await schema.run('create table $s."Tokens" (token text primary key, owner text)')
  await schema.run(`insert into $s."Tokens" values ('a', 'ann'), ('n', null)`)
})
afterEach(() => schema.drop())

/** The table with a clock that the test turns, and how often it was asked. */
function table(name = 'Tokens') {
  let now = 0
  let asked = 0
  const counting: Database = Object.create(database, {
    rows: {
      value: (...question: Parameters<Database['rows']>) => {
        asked++
        return database.rows(...question)
      },
    },
  })
  return {
    tokens: new TokenTable(counting, `${schema.name}.${name}`, () => now),
    later: (milliseconds: number) => {
      now += milliseconds
    },
    get asked() {
      return asked
    },
  }
}

test('knows the owners of tokens, and no others', async () => {
  const { tokens } = table()
  await tokens.check()
  expect(await tokens.ownerOf('a')).toBe('ann')
  expect(await tokens.ownerOf('A')).toBeNull()
  expect(await tokens.ownerOf(`' or true --`)).toBeNull()
  expect(await tokens.ownerOf('n')).toBeNull()
})

test('asks once in five seconds, for those it knows and those it does not', async () => {
  const bench = table()
  const { tokens, later } = bench
  expect(await Promise.all([tokens.ownerOf('a'), tokens.ownerOf('a'), tokens.ownerOf('b')])).toEqual([
    'ann',
    'ann',
    null,
  ])
  expect(bench.asked).toBe(2)
  await schema.run(`delete from $s."Tokens" where token = 'a'`)
  await schema.run(`insert into $s."Tokens" values ('b', 'bob')`)
  later(4_999)
  expect([await tokens.ownerOf('a'), await tokens.ownerOf('b')]).toEqual(['ann', null])
  expect(bench.asked).toBe(2)
  later(1)
  expect([await tokens.ownerOf('a'), await tokens.ownerOf('b')]).toEqual([null, 'bob'])
})

test('guesses push out no answer that somebody needs', async () => {
  const bench = table()
  const { tokens } = bench
  await tokens.ownerOf('a')
  for (let from = 0; from < 10_100; from += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, at) => tokens.ownerOf(`guess-${from + at}`)))
  }
  const before = bench.asked
  await tokens.ownerOf('a')
  expect(bench.asked).toBe(before)
  await tokens.ownerOf('guess-0')
  expect(bench.asked).toBe(before + 1)
})

test('may be a view over somebody else’s tables, with other types', async () => {
  await schema.run('create table $s.keys (key uuid, person integer)')
  await schema.run(`insert into $s.keys values ('8f0f9e3c-9bd2-4f0b-a9a5-6d1e7f3a0001', 42)`)
  await schema.run('create view $s.granted as select key as token, person as owner from $s.keys')
  const { tokens } = table('granted')
  await tokens.check()
  expect(await tokens.ownerOf('8f0f9e3c-9bd2-4f0b-a9a5-6d1e7f3a0001')).toBe('42')
  expect(await tokens.ownerOf('no-uuid')).toBeNull()
})

test('a token with two owners is nobody’s: that is told as a failure', async () => {
  await schema.run('create table $s.twice (token text, owner text)')
  await schema.run(`insert into $s.twice values ('a', 'ann'), ('a', 'bob'), ('b', 'bob'), ('b', 'bob')`)
  const { tokens } = table('twice')
  await expect(tokens.ownerOf('a')).rejects.toThrow('two owners')
  expect(await tokens.ownerOf('b')).toBe('bob')
})

test('says at the start what is missing', async () => {
  await schema.run('create table $s.wrong (token text, "user" text)')
  await expect(table('missing').tokens.check()).rejects.toMatchObject({ code: '42P01' })
  await expect(table('wrong').tokens.check()).rejects.toMatchObject({ code: '42703' })
})
