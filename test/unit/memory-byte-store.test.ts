import type { Blob } from '../../src/upload/blob.js'
import { byteStoreContract } from '../contract/byte-store.js'
import { MemoryByteStore } from '../support/memory-byte-store.js'

const make = async () => {
  const store = new MemoryByteStore()
  return { store, lose: (blob: Blob) => store.remove(blob), close: async () => undefined }
}

byteStoreContract('MemoryByteStore', make, { anyPosition: true, byteByByte: true })
