export { MemoryDatabase, type MemoryNodeOptions } from './memory-registry/database.js'
export { MemoryRegistry } from './memory-registry/registry.js'
