import type { UploadRegistry } from '../../src/upload/ports.js'
import { registryContract } from '../contract/registry.js'
import { MemoryDatabase, MemoryRegistry } from '../support/memory-registry.js'

registryContract('the registry in memory', {
  open({ expiration }) {
    const db = new MemoryDatabase()
    return Promise.resolve({
      node: async () => db.node({ expiration }),
      lapse: async (registry) => twin(registry).lapse(),
      thaw: async (registry) => twin(registry).thaw(),
      makeDue: async (id) => db.makeDue(id),
      close: async () => undefined,
    })
  },
})

function twin(registry: UploadRegistry): MemoryRegistry {
  if (registry instanceof MemoryRegistry) return registry
  throw new Error('this registry is none of this database')
}
