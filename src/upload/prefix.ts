import type { Extent } from './blob.js'

/** The beginning of an upload as far as it has no gap, and where it lies. */
export interface Prefix {
  readonly stop: number
  readonly extents: readonly Extent[]
}
