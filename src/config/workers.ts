import type { Command } from './command-line.js'
import { mustBe } from './problem.js'
import type { SettingsReader } from './reader.js'

/** How many processes serve, and what each may take of what they share. */
export interface WorkersConfig {
  /** WORKERS. Default 1: this process serves by itself. More: as many others do, and this one looks after them. Only of `serve`. */
  readonly workers: number
  /** Most connections to the database that a process takes for its requests. It takes two more: heartbeat and listener. */
  readonly poolSize: number
}

const MOST_WORKERS = 64

/** A pool that keeps no request waiting in one process, and the least one for the work that queues and the rest beside it. */
const POOL = 10
const LEAST_POOL = 4

/** Heartbeat and listener. */
const BESIDES_POOL = 2

/** Of its 100, less four: its owner's lock, the one that migrates at the start, and two for people who look inside. */
const EMBEDDED_CONNECTIONS = 96

export function readWorkers(
  reader: SettingsReader,
  { command, databaseUrl }: { readonly command: Command; readonly databaseUrl: string | null },
): WorkersConfig {
  const workers = reader.read('WORKERS', count)
  if (command !== 'serve') return { workers: 1, poolSize: POOL }
  if (databaseUrl !== null) return { workers, poolSize: POOL }
  const poolSize = Math.min(POOL, Math.floor(EMBEDDED_CONNECTIONS / workers) - BESIDES_POOL)
  if (poolSize < LEAST_POOL) {
    const most = Math.floor(EMBEDDED_CONNECTIONS / (LEAST_POOL + BESIDES_POOL))
    reader.problem(
      'WORKERS',
      `must be at most ${most} with the embedded database, which has no connections for more; give DATABASE_URL`,
    )
  }
  return { workers, poolSize }
}

function count(text: string): number {
  const number = /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN
  if (!(number >= 1 && number <= MOST_WORKERS)) throw mustBe(`an integer from 1 to ${MOST_WORKERS}`, text)
  return number
}
