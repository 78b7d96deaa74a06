import { randomUUID } from 'node:crypto'
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, inUse } from './error.js'
import type { Patience } from './patience.js'
import { isAlive, startTime } from './process-table.js'

interface Holder {
  readonly pid: number
  readonly started?: string
}

/**
 * One starter at a time per DATA_DIR: making the cluster, changing its owner and judging a leftover
 * `postmaster.pid` are each check-then-act on files. Node has no flock(2), so the turn is a numbered file
 * that names its holder. The highest number counts. A dead holder's turn is succeeded by creating the next
 * number, never by deleting and recreating the same one, where two successors could both believe they have
 * it.
 *
 * @returns gives the turn back
 */
export async function takeTurn(directory: string, patience: Patience): Promise<() => Promise<void>> {
  const turns = join(directory, 'postgres.turn')
  await mkdir(turns, { recursive: true, mode: 0o700 })
  const me: Holder = { pid: process.pid, ...present('started', await startTime(process.pid)) }
  for (;;) {
    const latest = await highest(turns)
    const holder = await liveHolder(join(turns, String(latest)))
    if (holder !== undefined) {
      await patience.wait('another server is starting on this DATA_DIR', () => inUse(holder.pid))
      continue
    }
    const mine = latest + 1
    if (!(await claim(turns, mine, me))) continue
    // Numbers below the highest are cleaned away, so a slow starter may create one that already had its time.
    if ((await highest(turns)) !== mine) {
      await rm(join(turns, String(mine)), { force: true })
      continue
    }
    await removeOthers(turns, mine)
    return () => release(turns, mine)
  }
}

async function highest(turns: string): Promise<number> {
  const numbers = (await readdir(turns)).filter((name) => /^\d+$/.test(name)).map(Number)
  return Math.max(0, ...numbers)
}

async function liveHolder(turn: string): Promise<Holder | undefined> {
  const holder = await readHolder(turn)
  if (holder === undefined || !(await isAlive(holder.pid))) return undefined
  return holder.started === (await startTime(holder.pid)) ? holder : undefined
}

async function readHolder(turn: string): Promise<Holder | undefined> {
  try {
    const text = await readFile(turn, 'utf8')
    return text === '' ? undefined : JSON.parse(text)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** link(2) makes the name and its content appear in one step, and fails when the name exists. */
async function claim(turns: string, number: number, me: Holder): Promise<boolean> {
  const draft = join(turns, `${randomUUID()}.draft`)
  await writeFile(draft, JSON.stringify(me))
  try {
    await link(draft, join(turns, String(number)))
    return true
  } catch (error) {
    const code = codeOf(error)
    // ENOENT: the winner's clean-up took our draft away.
    if (code === 'EEXIST' || code === 'ENOENT') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

async function removeOthers(turns: string, mine: number): Promise<void> {
  for (const name of await readdir(turns)) {
    if (name !== String(mine)) await rm(join(turns, name), { force: true })
  }
}

/** An empty file is a free turn. It stays, because the number must not be used again. */
async function release(turns: string, mine: number): Promise<void> {
  const draft = join(turns, `${randomUUID()}.draft`)
  await writeFile(draft, '')
  await rename(draft, join(turns, String(mine)))
}

function present(key: 'started', value: string | undefined): { started?: string } {
  return value === undefined ? {} : { [key]: value }
}
