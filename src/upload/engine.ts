import { Checkpoints } from './checkpoints.js'
import type { DigestAlgorithm } from './digest.js'
import { UploadEvents } from './events.js'
import { HashThreads, mostThreads } from './hash-threads.js'
import type { Logger } from './log.js'
import type { AppendOnly, ByteStore, LocalFiles, Publisher, SharedTargets, UploadRegistry } from './ports.js'
import { PrefixDigests } from './prefix-digests.js'
import { Publishing } from './publishing.js'

/** What every use case works with. Made once, by the composition root or by whoever embeds the store. */
export interface Engine {
  readonly registry: UploadRegistry
  readonly bytes: ByteStore & Partial<LocalFiles & SharedTargets & AppendOnly>
  /** Where finished files appear under their names; null: nowhere. */
  readonly publisher: Publisher | null
  readonly publishing: Publishing
  /** Threads that hash, for whoever has much to hash. Ended with `digests`. */
  readonly threads: Pick<HashThreads, 'open'>
  readonly digests: PrefixDigests
  readonly events: UploadEvents
  readonly checkpoints: Checkpoints
  readonly log: Logger
  readonly policy: Policy
}

export interface Policy {
  /** Most bytes an upload may have; null: no limit but 2^53 - 1. */
  readonly maxSize: number | null
  /** Whether finals become one blob: after the answer, before it, or not at all. */
  readonly assembly: 'background' | 'inline' | 'never'
  /** How long a request waits for another writer to hand back or lose its lease, in ms, before `upload_busy`. */
  readonly patience: number
  /** The digest that is worked out while chunks of an upload still arrive; null: none. */
  readonly followed: DigestAlgorithm | null
  /**
   * How long the bytes of a published file are kept besides it, in ms: after that it is their only copy, and the
   * upload cannot be downloaded any more. Null: for ever.
   */
  readonly retainPublished: number | null
}

type GivenPolicy = Pick<Policy, 'maxSize' | 'assembly'> & Partial<Policy>

/** Puts an engine together from what was opened for it. */
export function makeEngine(parts: {
  readonly registry: UploadRegistry
  readonly bytes: ByteStore
  readonly log: Logger
  readonly policy: GivenPolicy
  readonly publisher?: Publisher | null
  /** How many processes of this kind share the machine. Default 1. */
  readonly processes?: number
}): Engine {
  const { registry, bytes, log, policy, processes = 1 } = parts
  const threads = new HashThreads({ most: mostThreads(processes) })
  const engine: Engine = {
    registry,
    bytes,
    publisher: parts.publisher ?? null,
    publishing: new Publishing(() => engine),
    threads,
    digests: new PrefixDigests({ registry, bytes, log, threads }),
    events: new UploadEvents(log),
    checkpoints: new Checkpoints(registry, log),
    log,
    policy: { patience: DEFAULT_PATIENCE, followed: null, retainPublished: null, ...policy },
  }
  return engine
}

/** DESIGN: two leases. Long enough for a frozen holder to lapse, shorter than clients' own time-outs. */
const DEFAULT_PATIENCE = 8_000
