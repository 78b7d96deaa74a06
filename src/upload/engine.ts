import { Checkpoints } from './checkpoints.js'
import { UploadEvents } from './events.js'
import type { Logger } from './log.js'
import type { ByteStore, UploadRegistry } from './ports.js'

/** What every use case works with. Made once, by the composition root or by whoever embeds the store. */
export interface Engine {
  readonly registry: UploadRegistry
  readonly bytes: ByteStore
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
}

/** Puts an engine together from what was opened for it. */
export function makeEngine(parts: {
  readonly registry: UploadRegistry
  readonly bytes: ByteStore
  readonly log: Logger
  readonly policy: Omit<Policy, 'patience'>
}): Engine {
  const { registry, bytes, log, policy } = parts
  return {
    registry,
    bytes,
    events: new UploadEvents(log),
    checkpoints: new Checkpoints(registry, log),
    log,
    policy: { patience: DEFAULT_PATIENCE, ...policy },
  }
}

/** DESIGN: two leases. Long enough for a frozen holder to lapse, shorter than clients' own time-outs. */
const DEFAULT_PATIENCE = 8_000
