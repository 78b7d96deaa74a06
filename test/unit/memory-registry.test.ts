import type { UploadRegistry } from '../../src/upload/ports.js'
import { registryContract } from '../contract/registry.js'
import { MemoryDatabase, MemoryRegistry } from '../support/memory-registry.js'

registryContract('the registry in memory', {
  open(options) {
    const db = new MemoryDatabase()
    return Promise.resolve({
      node: async () => db.node(options),
      lapse: async (registry) => twin(registry).lapse(),
      bury: async (registry) => twin(registry).bury(),
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
