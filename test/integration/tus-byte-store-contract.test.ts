import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileStore } from '@tus/file-store'
import { afterEach, beforeEach, describe } from 'vitest'
import type { Blob } from '../../src/upload/blob.js'
import { TusByteStore } from '../../stores/tus/byte-store.js'
import { assembleContract } from '../contract/byte-store/assemble.js'
import { durableContract } from '../contract/byte-store/durable.js'
import { Fixture, type StoreUnderTest } from '../contract/byte-store/fixture.js'
import { isLostContract } from '../contract/byte-store/is-lost.js'
import { readContract } from '../contract/byte-store/read.js'
import { writeContract } from '../contract/byte-store/write.js'
import { writeEndsEarlyContract } from '../contract/byte-store/write-ends-early.js'
import { AppendingStore } from '../support/appending-store.js'

type Part = (at: Fixture) => void

/**
 * The contract but for what a DataStore has no means for: to list blobs, so that an epoch could be swept, and to write
 * anywhere. Removal alone is in `tus-byte-store.test.ts`.
 */
const ANY_STORE: readonly Part[] = [writeContract, writeEndsEarlyContract, readContract, assembleContract]

function contract(name: string, make: () => Promise<StoreUnderTest>, parts: readonly Part[]): void {
  describe(name, () => {
    const bytes = new Fixture(make)
    beforeEach(() => bytes.begin())
    afterEach(() => bytes.end())
    for (const part of parts) part(bytes)
  })
}

for (const durability of ['strict', 'relaxed'] as const) {
  const make = async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tributary-tus-'))
    return {
      store: new TusByteStore(new FileStore({ directory }), { durability }),
      lose: (blob: Blob) => rm(join(directory, blob.id)),
      close: () => rm(directory, { recursive: true, force: true, maxRetries: 5 }),
    }
  }
  contract(`TusByteStore over FileStore, ${durability}`, make, [
    ...ANY_STORE,
    durableContract,
    isLostContract,
  ])
}

contract(
  // Its progress is known in steps of 16 MiB, where the contract counts single bytes.
  'TusByteStore over a store that only appends',
  async () => ({
    store: new TusByteStore(new AppendingStore()),
    lose: () => Promise.reject(new Error('it keeps its bytes to itself')),
    close: async () => undefined,
  }),
  ANY_STORE,
)
