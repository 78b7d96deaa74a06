import type { Digest } from './digest.js'

/**
 * Whose turn it is to work out a digest of an upload. `known`: nobody's, here it is. `ours`: this node's, until
 * `noteDigest` or `leaveDigest`. `elsewhere`: another living node's.
 */
export type DigestTurn =
  | { readonly outcome: 'known'; readonly digest: Digest }
  | { readonly outcome: 'ours'; readonly token: number }
  | { readonly outcome: 'elsewhere' }
