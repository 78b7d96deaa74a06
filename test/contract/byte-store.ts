import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { assembleContract } from './byte-store/assemble.js'
import { durableByPartsContract, durableContract } from './byte-store/durable.js'
import { Fixture, type StoreUnderTest } from './byte-store/fixture.js'
import { isLostContract } from './byte-store/is-lost.js'
import { noneStandsStillContract } from './byte-store/none-stands-still.js'
import { readContract } from './byte-store/read.js'
import { removeContract } from './byte-store/remove.js'
import { sideBySideContract } from './byte-store/side-by-side.js'
import { writeContract } from './byte-store/write.js'
import { writeEndsEarlyContract } from './byte-store/write-ends-early.js'

export type { StoreUnderTest } from './byte-store/fixture.js'

export interface ByteStoreAbilities {
  /** Whether a write may begin anywhere, also where nothing is yet, while others write to the same blob. */
  readonly anyPosition: boolean
  /** Whether each byte is stored soon after it came, and not only with those that fill its part. */
  readonly byteByByte: boolean
}

/** What every `ByteStore` must do, wherever its bytes lie. `make` gives each test a fresh, empty store. */
export function byteStoreContract(
  name: string,
  make: () => Promise<StoreUnderTest>,
  abilities: ByteStoreAbilities,
): void {
  describe(name, () => {
    const bytes = new Fixture(make)
    beforeEach(() => bytes.begin())
    afterEach(() => bytes.end())

    writeContract(bytes)
    writeEndsEarlyContract(bytes)
    if (abilities.byteByByte) durableContract(bytes)
    else durableByPartsContract(bytes)
    readContract(bytes)
    removeContract(bytes)
    isLostContract(bytes)
    assembleContract(bytes)
    if (abilities.anyPosition) sideBySideContract(bytes)
    noneStandsStillContract(bytes)

    test('a working store checks out', async () => {
      await expect(bytes.store.check()).resolves.toBeUndefined()
    })
  })
}
