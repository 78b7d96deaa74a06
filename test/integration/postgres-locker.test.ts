import { setTimeout as sleep } from 'node:timers/promises'
import type { Locker } from '@tus/utils'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import type { LockerOptions } from '../../stores/postgres/locker.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { lockerContract } from '../contract/locker.js'
import type { CuttingProxy } from '../support/cutting-proxy.js'
import { openDatabaseProxy } from '../support/database-proxy.js'
import { type TestSchema, testSchema } from '../support/postgres.js'

const never = new AbortController().signal

lockerContract('the PostgresLocker', {
  capabilities: { nodes: true, waitsQuietly: true, refusesAborted: true, toleratesThrowing: true },
  async open() {
    const schema = testSchema()
    const nodes = new Map<Locker, OpenPostgres>()
    const join = async (locking?: LockerOptions): Promise<Locker> => {
      const node = await schema.open(locking && { locking })
      nodes.set(node.locker, node)
      return node.locker
    }
    return {
      locker: await join(),
      impatient: (milliseconds) => join({ acquireTimeout: milliseconds }),
      node: () => join(),
      lapse: async (locker) => {
        const lease = nodes.get(locker)?.lease
        lease?.pause()
        await schema.run(
          `update $s.nodes set lease_until = clock_timestamp() - interval '1 second' where epoch = ${lease?.epoch}`,
        )
      },
      close: () => schema.drop(),
    }
  },
})

describe('the PostgresLocker, when its listening connection is lost', () => {
  let schema: TestSchema
  let proxy: CuttingProxy
  let holder: OpenPostgres

  beforeEach(async () => {
    schema = testSchema()
    const opened = await openDatabaseProxy()
    proxy = opened.proxy
    // Only what listens goes through the proxy.
    holder = await schema.open({ connection: inject('database'), directConnection: opened.database })
  })

  afterEach(async () => {
    await schema.drop()
    await proxy.close()
  })

  test('tells holders all the same that somebody waits', async () => {
    const waiter = await schema.open({ locking: { acquireTimeout: 5_000 } })
    const [held, wanted] = [holder.locker.newLock('x'), waiter.locker.newLock('x')]
    await held.lock(never, () => held.unlock())
    await loseSignals()
    await wanted.lock(never, () => undefined)
    await wanted.unlock()
  })

  test('tells those who were asked for while nobody heard', async () => {
    const waiter = await schema.open({ locking: { acquireTimeout: 5_000 } })
    await loseSignals()
    const [held, wanted] = [holder.locker.newLock('x'), waiter.locker.newLock('x')]
    await held.lock(never, () => held.unlock())
    await wanted.lock(never, () => undefined)
    await wanted.unlock()
  })

  test('looks for requests only until it listens again', async () => {
    const held = holder.locker.newLock('x')
    await held.lock(never, () => undefined)
    await loseSignals()
    await expect.poll(looks).toBeGreaterThan(0)
    proxy.follow(() => null)
    await expect.poll(isListening).toBe(true)
    await sleep(1_000)
    const before = await lastLook()
    await sleep(1_000)
    expect(await lastLook()).toEqual(before)
    await held.unlock()
  })

  async function loseSignals(): Promise<void> {
    const { connections } = proxy
    proxy.follow(() => ({ at: { sent: 1 }, how: 'rst' }))
    proxy.cutAll('rst')
    await expect.poll(() => proxy.connections).toBeGreaterThan(connections)
  }

  async function looks(): Promise<number> {
    return (await schema.run(activity(`%"${schema.name}".locks%yield_requested_at is not null%`))).length
  }

  async function lastLook(): Promise<unknown> {
    return (
      await schema.run(
        `${activity(`%"${schema.name}".locks%yield_requested_at is not null%`)} order by query_start desc limit 1`,
      )
    )[0]
  }

  async function isListening(): Promise<boolean> {
    return (await schema.run(activity(`listen "tributary_${schema.name}"%`))).length > 0
  }

  /** What the sessions of the database ran last, of these. */
  function activity(like: string): string {
    return `select query_start from pg_stat_activity where pid <> pg_backend_pid() and query like '${like}'`
  }
})
