import type { Identify } from '../http/identity.js'
import type { InFlight } from '../http/in-flight.js'
import type { FileDigestAlgorithm } from '../upload/digest.js'
import type { Engine } from '../upload/engine.js'

/** What frago calls CHECKSUM_TYPE and DO_CHECKSUM. */
export interface ChecksumSettings {
  /** The algorithm where a client names none. */
  readonly type: FileDigestAlgorithm
  /** Whether finishing compares a digest at all. */
  readonly required: boolean
}

/** The facade: what every verb works with besides the request. */
export interface Site {
  readonly engine: Engine
  /** Paths it answers below, such as `/api/upload`: they begin with a slash and do not end with one. */
  readonly mounts: readonly string[]
  readonly identify: Identify
  readonly checksum: ChecksumSettings
  readonly inFlight: InFlight
  readonly idleTimeout: number | null
}
