import { expect } from 'vitest'
import type { Schema } from '../invariants/snapshot.js'
import { acknowledge, expectDownload, repeatFinal } from './actions.js'
import type { Client } from './client.js'
import type { Entry, Journal } from './journal.js'

/** Most bytes of an upload that a killed server may lose (DESIGN), and what the sockets may hold besides. */
const MOST_LOST = (64 + 16) * 1024 * 1024

/** A server that starts again on the same machine leaves nothing of its predecessor alive: nobody waits for a lease. */
export async function expectTakenOver(schema: Schema): Promise<void> {
  const [row] = await schema.run<{ alive: string; claims: string }>(`select
    count(*) filter (where lease_until > clock_timestamp()) as alive,
    (select count(*) from $s.claims c join $s.nodes n using (epoch) where isfinite(n.lease_until)) as claims
    from $s.nodes`)
  expect(row, 'nodes that live, and claims that hold, after a new start').toEqual({ alive: '1', claims: '0' })
}

/**
 * Nothing that was acknowledged is lost; of the finals, those are read that `isRead` says. Returns the most bytes
 * that were sent without an answer and are lost.
 */
export async function expectKept(
  client: Client,
  journal: Journal,
  isRead: () => boolean = () => true,
): Promise<number> {
  for (const asked of [...journal.asked]) {
    const first = await repeatFinal(client, journal, asked)
    expect(await repeatFinal(client, journal, asked), 'the same final again').toBe(first)
  }
  let lost = 0
  for (const entry of journal.living.filter(({ kind }) => kind !== 'final')) {
    const { sent } = entry
    await check(client, entry)
    if (entry.state === 'open') lost = Math.max(lost, sent - entry.acknowledged)
  }
  expect(lost).toBeLessThanOrEqual(MOST_LOST)
  for (const entry of journal.living.filter(({ kind }) => kind === 'final')) {
    await checkFinal(client, entry)
    if (entry.state === 'complete' && isRead()) await expectDownload(client, entry)
  }
  return lost
}

async function check(client: Client, entry: Entry): Promise<void> {
  const { status, headers } = await client.head(entry.id)
  if (entry.state === 'leaving' && status === 404) {
    entry.state = 'gone'
    return
  }
  expect(status, `HEAD of ${entry.id}`).toBe(200)
  if (entry.state === 'leaving') entry.state = 'open'
  const offset = Number(headers['upload-offset'])
  expect(offset).toBeLessThanOrEqual(entry.content.length)
  acknowledge(entry, offset)
}

async function checkFinal(client: Client, entry: Entry): Promise<void> {
  const { status, headers } = await client.head(entry.id)
  if (entry.state === 'leaving' && status === 404) {
    entry.state = 'gone'
    return
  }
  expect(status, `HEAD of the final ${entry.id}`).toBe(200)
  const isComplete = headers['upload-offset'] !== undefined
  if (entry.state === 'complete') expect(isComplete, `final ${entry.id} stays complete`).toBe(true)
  const hasAll = entry.parts.every(({ state }) => state === 'complete')
  if (hasAll) expect(isComplete, `final ${entry.id} has all its parts`).toBe(true)
  entry.state = isComplete ? 'complete' : 'open'
  if (!isComplete) return
  acknowledge(entry, Number(headers['upload-offset']))
}

/** A completed upload is not completed again. */
export async function expectCompletedOnce(schema: Schema, journal: Journal): Promise<void> {
  const rows = await schema.run<{ id: string; at: string }>(
    'select id, completed_at::text as at from $s.uploads where completed_at is not null',
  )
  const times = new Map(rows.map(({ id, at }) => [id, at]))
  for (const entry of journal.entries) {
    const at = times.get(entry.id)
    if (at === undefined) continue
    if (entry.completedAt !== null) expect(at, `completion of ${entry.id}`).toBe(entry.completedAt)
    entry.completedAt = at
  }
}
