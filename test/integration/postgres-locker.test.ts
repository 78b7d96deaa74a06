import type { Locker } from '@tus/utils'
import type { LockerOptions } from '../../stores/postgres/locker.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { lockerContract } from '../contract/locker.js'
import { testSchema } from '../support/postgres.js'

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
