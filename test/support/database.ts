import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { startEmbeddedPostgres } from '../../stores/postgres/embedded.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** How tests reach the database of this run: settings for pg. */
    database: string | Record<string, string | number | boolean>
  }
}

/**
 * One database for the whole run: the embedded PostgreSQL in a directory of its own, or TEST_DATABASE_URL, so that
 * the same suites run on any other server. Each test makes a schema of its own in it.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const url = process.env.TEST_DATABASE_URL
  if (url) {
    project.provide('database', url)
    return async () => undefined
  }
  const directory = await mkdtemp(join(tmpdir(), 'tributary-test-'))
  const postgres = await startEmbeddedPostgres({ directory })
  project.provide('database', { ...postgres.connection })
  return async () => {
    await postgres.stop()
    await rm(directory, { recursive: true, force: true })
  }
}
