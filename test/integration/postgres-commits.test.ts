import { expect, inject, test } from 'vitest'
import { connect, Database } from '../../stores/postgres/database.js'

async function setting(wanted: string): Promise<string> {
  const connection = inject('database')
  const settings = typeof connection === 'string' ? { connectionString: connection } : connection
  const knex = connect({ ...settings, options: `-c synchronous_commit=${wanted}` }, 1)
  try {
    const rows = await new Database(knex, 'any').rows<{ value: string }>(
      'setting',
      "select current_setting('synchronous_commit') as value",
    )
    return rows[0]?.value ?? ''
  } finally {
    await knex.destroy()
  }
}

test('commits are waited for, whatever the role or database says, and never less than it says', async () => {
  expect(await setting('off')).toBe('on')
  expect(await setting('remote_apply')).toBe('remote_apply')
})
