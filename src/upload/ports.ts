/** The ports, and what is said through them, in one place for whoever implements or calls them. */
export type { Assembly } from './assembly.js'
export type {
  AppendOnly,
  AssembleOptions,
  BlobWrite,
  ByteStore,
  LocalFiles,
  SharedTargets,
  WriteOptions,
  WriteResult,
} from './byte-store.js'
export type { Claim, ClaimRequest, Recorded, ReplacedChunk } from './claim.js'
export type { CompleteOutcome, CompleteRequest } from './completion.js'
export type { Hasher } from './digest.js'
export type { DigestTurn } from './digest-turn.js'
export type { UploadDraft } from './draft.js'
export type { Expired, Terminated } from './ending.js'
export type { ConcatenateOutcome, FinalDraft, FinalRequest } from './final.js'
export type { FoundUpload, ListedUpload } from './listing.js'
export type { Prefix } from './prefix.js'
export type { Placed, Publication, Published, PublishTurn } from './publication.js'
export type { Publisher, ReadyFile } from './publisher.js'
export type { UploadRegistry } from './registry.js'
