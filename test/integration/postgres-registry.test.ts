import { expect } from 'vitest'
import type { UploadRegistry } from '../../src/upload/ports.js'
import type { OpenPostgres } from '../../stores/postgres/open.js'
import { registryContract } from '../contract/registry.js'
import { brokenRows } from '../support/invariants.js'
import { testSchema } from '../support/postgres.js'

registryContract('the registry on PostgreSQL', {
  async open(options) {
    const schema = testSchema()
    const nodes = new Map<UploadRegistry, OpenPostgres>()
    const nodeOf = (registry: UploadRegistry): OpenPostgres => {
      const node = nodes.get(registry)
      if (node === undefined) throw new Error('this registry is none of this database')
      return node
    }
    return {
      node: async () => {
        const node = await schema.open(options)
        nodes.set(node.registry, node)
        return node.registry
      },
      lapse: async (registry) => {
        nodeOf(registry).lease.pause()
        await schema.run(
          `update $s.nodes set lease_until = clock_timestamp() - interval '1 second' where epoch = ${registry.epoch}`,
        )
      },
      bury: async (registry) => {
        nodeOf(registry).lease.pause()
        await schema.run(`update $s.nodes set lease_until = '-infinity' where epoch = ${registry.epoch}`)
      },
      thaw: async (registry) => nodeOf(registry).lease.beat(),
      makeDue: async (id) => {
        await schema.run(
          `update $s.uploads set expires_at = clock_timestamp() - interval '1 second' where id = '${id}'`,
        )
      },
      // After each test, whatever it did: the rows fit together.
      close: async () => {
        const broken = await brokenRows(schema).finally(() => schema.drop())
        expect(broken).toEqual([])
      },
    }
  },
})
