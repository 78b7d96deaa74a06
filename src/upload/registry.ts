import type { Assembly } from './assembly.js'
import type { Blob, Extent } from './blob.js'
import type { Claim, ClaimRequest, Recorded } from './claim.js'
import type { CompleteOutcome, CompleteRequest } from './completion.js'
import type { Digest, DigestAlgorithm } from './digest.js'
import type { DigestTurn } from './digest-turn.js'
import type { UploadDraft } from './draft.js'
import type { Expired, Terminated } from './ending.js'
import type { ConcatenateOutcome, FinalDraft, FinalRequest } from './final.js'
import type { FoundUpload, ListedUpload } from './listing.js'
import type { Prefix } from './prefix.js'
import type { Placed, Publication, Published, PublishTurn } from './publication.js'
import type { Upload, UploadId } from './upload.js'

/**
 * The truth about uploads (law 1). Every method is one transaction; the database's clock decides; a null owner is an
 * owner like any other, and an upload of another owner does not exist. Any method may throw `registry_unavailable`.
 */
export interface UploadRegistry {
  /** Records a new upload without bytes. A tus upload of length 0 is complete at once; frago asks to finish it. */
  create(draft: UploadDraft): Promise<Upload>

  /**
   * Records a new upload together with bytes `[0, stored)` that are already durable in `blob`, which this node's
   * epoch made. No claim is needed: nobody knows the id yet. Throws `claim_lost` when the epoch has lapsed.
   */
  createStored(draft: UploadDraft, blob: Blob, stored: number): Promise<Upload>

  /** One statement, no lock. Null for unknown and foreign ids alike. Status follows the clock, not the last sweep. */
  find(id: UploadId, owner: string | null): Promise<FoundUpload | null>

  /**
   * Claims a range for writing; whoever takes over what another holder did not hand back gets a fresh blob.
   * Null when a living writer holds an overlapping range. A chunk may begin where a received one begins, and then is
   * to replace it; the claim covers both, and neither may touch any other received chunk. Throws `upload_not_found`,
   * `upload_expired`, `upload_is_final`, `wrong_protocol`, `upload_finished` (tus: only for a start at its very end),
   * `OffsetMismatch`, `length_conflict`, `range_conflict`.
   */
  claim(request: ClaimRequest): Promise<Claim | null>

  /**
   * Has an appending claim go on in a fresh blob, because its own takes no bytes at that place. Nothing of the claim may have been
   * stored. Throws `claim_lost` when the token no longer holds.
   */
  relocate(claim: Claim): Promise<Claim>

  /**
   * Asks whoever holds some of `[start, stop)` of this upload, by default of all of it, to hand it back; writers beside
   * that range are left alone. Does not wait. False when nobody holds any.
   */
  askToYield(id: UploadId, start?: number, stop?: number | null): Promise<boolean>

  /** Resolves when a claim on this upload may have ended, or after `milliseconds`; never rejects. */
  handedBack(id: UploadId, milliseconds: number): Promise<void>

  /**
   * Makes progress of running claims visible and safe without ending them: `stop` is the end of what is durable,
   * in upload bytes. One statement for all. Returns the tokens that no longer hold.
   */
  checkpoint(
    progress: readonly { readonly claim: Claim; readonly stop: number }[],
  ): Promise<readonly number[]>

  /**
   * Turns `[claim.start, stop)` into a received range, ends the claim, completes the upload when it has no gap left,
   * and any waiting final that this completes. `stop` may equal `claim.start`. Of a claim that replaces, the chunk
   * there before is received no more, and digests worked out so far are forgotten. Chunks of frago complete nothing.
   * Throws `claim_lost` when the token no longer holds, `upload_not_found` when the upload is gone.
   */
  record(claim: Claim, stop: number): Promise<Recorded>

  /** Hands a claim back without new bytes. A claim that is already gone is no error. */
  release(claim: Claim): Promise<void>

  /** One upload with its received ranges; one statement, no lock. Null for unknown and foreign ids. */
  describe(id: UploadId, owner: string | null): Promise<ListedUpload | null>

  /**
   * The uploads of an owner, without partials and unfinished finals, in one statement: those completed, newest first,
   * then the others in the order they were started. Of each of the two at most `limit`, the newest.
   */
  list(owner: string | null, limit: number): Promise<readonly ListedUpload[]>

  /** The gapless beginning of an upload, complete or not. Null when it is gone, expired, or its bytes were released. */
  prefix(id: UploadId): Promise<Prefix | null>

  /**
   * Takes the turn to work out one digest of an upload; a turn of a dead node falls to whoever asks, and one of this
   * node's is given again with a new token. Null when the upload is gone or expired.
   */
  takeDigest(id: UploadId, algorithm: DigestAlgorithm): Promise<DigestTurn | null>

  /** Says what was worked out. False when the content has changed since the turn was taken, or the upload is gone. */
  noteDigest(id: UploadId, token: number, digest: Digest): Promise<boolean>

  /** Gives a turn back without a digest. */
  leaveDigest(id: UploadId, token: number): Promise<void>

  /**
   * Has `listener` told when another node asks in vain for the turn of a digest of an upload: what this node follows at
   * its leisure is waited for. A hint, which may not come. Returns what ends that.
   */
  onDigestWanted(listener: (id: UploadId) => void): () => void

  /**
   * Makes a gapless upload complete. Claims that are still held end. An upload that is complete already stays as it
   * is. Throws `upload_not_found`, `upload_expired`, `wrong_protocol`, `upload_not_finished` (there are gaps).
   */
  complete(request: CompleteRequest): Promise<CompleteOutcome>

  /** Takes the turn to publish an upload. Null when nothing is to be published, or the upload is gone. */
  takePublication(id: UploadId): Promise<PublishTurn | null>

  /**
   * Calls `place` while nobody else publishes under the same filename, with the publication that has this name now, and
   * records what it did. Null when the upload is gone meanwhile: then `place` was not called. The turn ends. Asked again
   * by the same process, as after an answer that was lost, it says `first` again.
   */
  publish(
    publication: Publication,
    place: (holder: Publication | null) => Promise<Placed>,
  ): Promise<Published | null>

  /** Gives the turn to publish back; somebody else, or a later look, takes it. */
  leavePublication(id: UploadId): Promise<void>

  /** Up to `limit` uploads that are to be published and nobody living is at. */
  unpublished(limit: number): Promise<readonly UploadId[]>

  /** Up to `limit` published files whose upload is gone, left over from an interrupted removal. */
  retractedPublications(limit: number): Promise<readonly Publication[]>

  /**
   * Deletes the rows of published files that were removed. One that got another name since it was handed out, from a
   * file that took its own, keeps its row: its file is still there.
   */
  forgetPublications(publications: readonly Publication[]): Promise<void>

  /**
   * Lets go of the bytes of up to `limit` uploads that were published `retain` ms ago or longer: the published file is
   * their only copy from now on. Returns the blobs nothing refers to any more, and how many uploads it were.
   */
  releasePublished(
    retain: number,
    limit: number,
  ): Promise<{ readonly count: number; readonly unreferenced: readonly Blob[] }>

  /** The final that the same request has made before; null if none did, or if it expired or was terminated. */
  findFinal(request: FinalRequest): Promise<Upload | null>

  /**
   * Makes a final: looks up the same request first, then authorises, checks and references every part. A final whose parts are
   * all complete is complete and readable at once. Throws `part_not_found`, `part_not_partial`, `part_expired`,
   * `size_exceeded`.
   */
  concatenate(draft: FinalDraft): Promise<ConcatenateOutcome>

  /**
   * The content of a complete upload, in order, without gaps; none where it was released. Null when the upload is not
   * there or not complete.
   */
  extents(id: UploadId, owner: string | null): Promise<readonly Extent[] | null>

  /** Removes the record. Null for unknown and foreign ids. Whoever still writes to it is told to stop. */
  terminate(id: UploadId, owner: string | null): Promise<Terminated | null>

  /** Marks up to `limit` due uploads expired, skipping those a living writer holds or another sweeper works on. */
  expireDue(limit: number): Promise<Expired>

  /**
   * The bytes of a blob are gone, as `ByteStore.isLost` says, though nobody asked for it: forgets what an upload in
   * progress received there. Of chunks, each that lies there even in part; of a tus upload, all from the first lost byte
   * on. Claims that write there end, the caller's own included; digests are forgotten; what is missing can be sent again.
   * False when the upload is gone, not in progress, or has nothing there.
   */
  forgetLost(id: UploadId, blob: Blob): Promise<boolean>

  /** Up to `limit` blobs whose rows say they are to go, left over from an interrupted removal. */
  unreferencedBlobs(limit: number): Promise<readonly Blob[]>

  /** Deletes the rows of blobs whose bytes are gone. */
  forgetBlobs(blobs: readonly Blob[]): Promise<void>

  /** Of the given blob ids of one epoch, those that have a row. */
  knownBlobs(epoch: number, ids: readonly string[]): Promise<ReadonlySet<string>>

  /**
   * Ends epochs whose lease lapsed, so that nothing can be created under them any more (a claim that nobody took over
   * still counts), and returns those whose leftover files may be swept.
   */
  retireEpochs(): Promise<readonly number[]>

  /** Says that the leftover files of a retired epoch were swept. */
  epochSwept(epoch: number): Promise<void>

  /**
   * Takes one upload that waits to be assembled, or whose assembler died: the given one, or any. Null when there
   * is none to take. The target of one that may still be writing is taken too if it is `shared` (`ByteStore.sharesTargets`); else there
   * is a new one.
   */
  takeAssembly(id?: UploadId, shared?: boolean): Promise<Assembly | null>

  /** Records how many bytes of the target are durable. False when the assembly is no longer ours. */
  assemblyProgress(assembly: Assembly, copied: number): Promise<boolean>

  /**
   * Re-points the final and its remaining parts to the target, in one transaction. Null when the final is gone or
   * the assembly no longer ours: then the target is unreferenced.
   */
  finishAssembly(assembly: Assembly): Promise<{ upload: Upload; unreferenced: readonly Blob[] } | null>

  /** Gives an assembly back unfinished, to be taken again by any node. */
  abandonAssembly(assembly: Assembly): Promise<void>

  /** Whether the database answers; rejects with `registry_unavailable` otherwise. */
  check(): Promise<void>

  /** The epoch under which this node writes at this moment. It changes when a lease was missed. */
  readonly epoch: number
}
