import { byteStoreContract } from '../contract/byte-store.js'
import { MemoryByteStore } from '../support/memory-byte-store.js'

const make = async () => ({ store: new MemoryByteStore(), close: async () => undefined })

byteStoreContract('MemoryByteStore', make, { anyPosition: true })
