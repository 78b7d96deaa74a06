import { describe } from 'vitest'
import { assembling } from './registry/assembling.js'
import { chunkHistories } from './registry/chunk-histories.js'
import { chunks } from './registry/chunks.js'
import { claiming } from './registry/claiming.js'
import { completingChunks } from './registry/completing-chunks.js'
import { concatenating } from './registry/concatenating.js'
import { creating } from './registry/creating.js'
import { digests } from './registry/digests.js'
import { ending } from './registry/ending.js'
import { lapsing } from './registry/lapsing.js'
import { listing } from './registry/listing.js'
import { losing } from './registry/losing.js'
import { publishing } from './registry/publishing.js'
import { recording } from './registry/recording.js'
import { factsOf, type RegistryHarness } from './registry/stage.js'
import { sweeping } from './registry/sweeping.js'
import { waiting } from './registry/waiting.js'

export type { RegistryBench, RegistryHarness } from './registry/stage.js'

/** What every `UploadRegistry` must do, whatever keeps its rows. */
export function registryContract(name: string, harness: RegistryHarness): void {
  const fact = factsOf(harness)
  describe(name, () => {
    creating(fact)
    claiming(fact)
    recording(fact)
    lapsing(fact)
    concatenating(fact)
    waiting(fact)
    ending(fact)
    sweeping(fact)
    assembling(fact)
    chunks(fact)
    chunkHistories(fact)
    listing(fact)
    digests(fact)
    completingChunks(fact)
    publishing(fact)
    losing(fact)
  })
}
