import type { Knex } from 'knex'
import { expect, test } from 'vitest'
import { type Logger, silent } from '../../src/upload/log.js'
import { checkConnections, type SessionSettings } from '../../stores/postgres/check-connections.js'
import { Database } from '../../stores/postgres/database.js'

const FIT: SessionSettings = { commits: 'on', timeout: '30000', source: 'client', role: 'tributary' }

/** What a start says on connections that answer so: null when nothing. Rejects when it is refused. */
async function check(pooled: boolean, answer: Partial<SessionSettings> | Error): Promise<string | null> {
  let said: string | null = null
  const warn = (_: object, message: string) => {
    said = message
  }
  const log: Logger = { ...silent, warn }
  const raw = async () => {
    if (answer instanceof Error) throw answer
    return { rows: [{ ...FIT, ...answer }] }
  }
  await checkConnections(new Database({ raw } as unknown as Knex, 'any', pooled), log)
  return said
}

test('connections that are what they should be are not talked about', async () => {
  expect(await check(false, {})).toBeNull()
  expect(await check(true, { source: 'user' })).toBeNull()
})

test('a pooler nobody told of is a sentence that names the setting', async () => {
  const refusal = Object.assign(new Error('unsupported startup parameter: statement_timeout'), {
    code: '08P01',
  })
  const sentence = /^A pooler such as pgbouncer .* give DATABASE_DIRECT_URL \(.* directDatabase\)/
  await expect(check(false, refusal)).rejects.toMatchObject({
    code: 'database_unfit',
    message: expect.stringMatching(sentence),
    cause: refusal,
  })
  await expect(check(false, { source: 'default', timeout: '0' })).rejects.toThrow(sentence)
})

test('what else pg says passes as it is', async () => {
  const refusal = Object.assign(new Error('password authentication failed'), { code: '28P01' })
  await expect(check(false, refusal)).rejects.toBe(refusal)
})

test('behind a pooler, commits that are not waited for stop the start; weaker and stronger ones do not', async () => {
  await expect(check(true, { commits: 'off', role: 'Up "loads"' })).rejects.toThrow(
    'alter role "Up ""loads""" set synchronous_commit = on',
  )
  for (const commits of ['local', 'remote_apply']) expect(await check(true, { commits })).toBeNull()
})

test('behind a pooler, statements without a time limit are talked about', async () => {
  expect(await check(true, { timeout: '0' })).toContain("alter role tributary set statement_timeout = '30s'")
})
