import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Knex } from 'knex'
import { inject, onTestFinished } from 'vitest'
import { openTributary, type Tributary, type TributaryOptions } from '../../src/index.js'
import { silent } from '../../src/upload/log.js'
import { connect } from '../../stores/postgres/database.js'
import { databaseUrl } from './server-process.js'

export interface Opened {
  readonly tributary: Tributary
  readonly knex: Knex
  readonly schema: string
  readonly directory: string
}

/** The whole server in this process, in a schema and a directory of its own. It goes with the test. */
export async function openHere(
  options: TributaryOptions & { readonly directory?: string } = {},
): Promise<Opened> {
  const schema = `t_${randomUUID().replaceAll('-', '').slice(0, 12)}`
  const directory = options.directory ?? (await scratch())
  const settings = {
    PORT: '0',
    DATA_DIR: directory,
    DATABASE_URL: databaseUrl(inject('database')),
    DATABASE_SCHEMA: schema,
    ...options.settings,
  }
  const knex = connect(inject('database'), 2)
  const { directory: _directory, ...overrides } = options
  const tributary = await openTributary({ log: silent, ...overrides, settings })
  onTestFinished(async () => {
    await tributary.close()
    await knex.raw(`drop schema if exists "${schema}" cascade`)
    await knex.destroy()
  })
  return { tributary, knex, schema, directory }
}

export async function scratch(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'tributary-here-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  return directory
}
