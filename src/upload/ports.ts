import type { Readable } from 'node:stream'
import type { Blob, Extent } from './blob.js'
import type { Digest } from './digest.js'
import type { Upload, UploadId, UploadKind, UploadProtocol } from './upload.js'

/** What a new upload starts with. */
export interface UploadDraft {
  readonly id: UploadId
  readonly owner: string | null
  readonly kind: Exclude<UploadKind, 'final'>
  readonly protocol: UploadProtocol
  readonly length: number | null
  readonly metadata: string | null
  readonly filename: string | null
}

/** What makes two requests for a final the same (law 5). A null owner counts as a value. */
export interface FinalRequest {
  readonly owner: string | null
  /** In order; the same part may stand twice. */
  readonly parts: readonly { readonly id: UploadId; readonly name: string }[]
  /** The metadata as the client sent it, before any hook changed it. */
  readonly sent: string | null
}

/** A final to be made of parts. */
export interface FinalDraft extends FinalRequest {
  readonly id: UploadId
  readonly metadata: string | null
  readonly filename: string | null
  /** Most bytes the final may have; null: no limit. */
  readonly maxSize: number | null
}

export interface ConcatenateOutcome {
  readonly upload: Upload
  /** True when the same request had been answered before: then nothing was made, and no event is due. */
  readonly repeated: boolean
}

export interface FoundUpload {
  readonly upload: Upload
  /** Whether a writer with a living lease holds it at this moment. */
  readonly held: boolean
}

/** What a writer asks for before its first byte is stored. */
export interface ClaimRequest {
  readonly id: UploadId
  readonly owner: string | null
  readonly protocol: UploadProtocol
  /** First byte to be written. An append must begin exactly at the recorded offset. */
  readonly start: number
  /** End of the range (exclusive); null: to the end of the upload, as an append claims. */
  readonly stop: number | null
  /** The length a deferred upload turns out to have, if the request declares it; null otherwise. */
  readonly declaredLength: number | null
}

/** The right to write one range of one upload into one blob, until handed back, recorded or taken over. */
export interface Claim {
  /** Fencing token: every later statement about this claim fails once it no longer holds. */
  readonly token: number
  readonly uploadId: UploadId
  readonly start: number
  /** Length of the upload; null while deferred. */
  readonly length: number | null
  readonly blob: Blob
  /** Where byte `start` of the upload lies in the blob. */
  readonly blobOffset: number
  /** True while no byte of the blob is recorded: its file may not be there yet, and is made if it is missing. */
  readonly fresh: boolean
  /** Aborts when somebody waits for this range, or when this node lost its lease: stop reading, record, hand back. */
  readonly yielded: AbortSignal
}

export interface Recorded {
  readonly upload: Upload
  /** True when exactly this statement made the upload complete. */
  readonly completed: boolean
  /** Waiting finals that exactly this statement completed. */
  readonly completedFinals: readonly Upload[]
}

export interface Terminated {
  readonly upload: Upload
  /** Waiting finals that ended because this upload was one of their parts. */
  readonly expiredFinals: readonly Upload[]
  /** Blobs nothing refers to any more; their bytes are to be removed, then `forgetBlobs`. */
  readonly unreferenced: readonly Blob[]
}

export interface Expired {
  readonly uploads: readonly Upload[]
  readonly unreferenced: readonly Blob[]
}

/** A final whose extents are to become one blob. */
export interface Assembly {
  readonly uploadId: UploadId
  readonly length: number
  readonly target: Blob
  readonly fresh: boolean
  /** Bytes of the target that are already durable, from its beginning. */
  readonly copied: number
  readonly extents: readonly Extent[]
}

/**
 * The truth about uploads (law 1). Every method is one transaction; the database's clock decides; a null owner is an
 * owner like any other, and an upload of another owner does not exist. Any method may throw `registry_unavailable`.
 */
export interface UploadRegistry {
  /** Records a new upload without bytes. Length 0 is complete at once. */
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
   * Null when a living writer holds an overlapping range. Throws `upload_not_found`, `upload_expired`,
   * `upload_is_final`, `wrong_protocol`, `upload_finished` (only for a start at its very end), `OffsetMismatch`,
   * `length_conflict`, `range_conflict`.
   */
  claim(request: ClaimRequest): Promise<Claim | null>

  /** Asks whoever holds a range of this upload to hand it back. Does not wait. False when nobody holds one. */
  askToYield(id: UploadId): Promise<boolean>

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
   * and any waiting final that this completes. `stop` may equal `claim.start`. Throws `claim_lost` when the token
   * no longer holds, `upload_not_found` when the upload is gone.
   */
  record(claim: Claim, stop: number): Promise<Recorded>

  /** Hands a claim back without new bytes. A claim that is already gone is no error. */
  release(claim: Claim): Promise<void>

  /** The final that the same request has made before; null if none did, or if it expired or was terminated. */
  findFinal(request: FinalRequest): Promise<Upload | null>

  /**
   * Makes a final: looks up the same request first, then authorises, checks and references every part. A final whose parts are
   * all complete is complete and readable at once. Throws `part_not_found`, `part_not_partial`, `part_expired`,
   * `size_exceeded`.
   */
  concatenate(draft: FinalDraft): Promise<ConcatenateOutcome>

  /** The content of a complete upload, in order, without gaps. Null when the upload is not there or not complete. */
  extents(id: UploadId, owner: string | null): Promise<readonly Extent[] | null>

  /** Removes the record. Null for unknown and foreign ids. Whoever still writes to it is told to stop. */
  terminate(id: UploadId, owner: string | null): Promise<Terminated | null>

  /** Marks up to `limit` due uploads expired, skipping those a living writer holds or another sweeper works on. */
  expireDue(limit: number): Promise<Expired>

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
   * Takes one final that waits to be assembled, or whose assembler died: the given one, or any. Null when there
   * is none to take.
   */
  takeAssembly(id?: UploadId): Promise<Assembly | null>

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

export interface WriteOptions {
  /** Most bytes to take from the source. One byte more ends the write with `ended: 'limit'`. */
  readonly limit: number
  /** True: the blob's file is made if it is missing (several writers may say so at once); false: it must exist. */
  readonly fresh: boolean
  /** Ends the write early; what arrived is kept. */
  readonly signal?: AbortSignal
  /** Sees every byte once, in order, before it is stored. */
  readonly observe?: (bytes: Buffer) => void
  /**
   * Called after bytes were handed to the operating system, with the count so far; the store takes no more bytes
   * until a returned promise settles.
   */
  readonly onStored?: (stored: number) => void | Promise<void>
}

/**
 * `end`: the source ended. `cut`: the source failed or was destroyed (a client that left). `aborted`: the signal.
 * `limit`: the source had more than `limit` bytes. `failed`: the store could not go on (`error` says why).
 * In every case the first `stored` bytes are kept, and durable when the store's durability says so.
 */
export interface WriteResult {
  readonly stored: number
  readonly ended: 'end' | 'cut' | 'aborted' | 'limit' | 'failed'
  readonly error?: Error
}

/** A write under way. */
export interface BlobWrite {
  /** Settles when nothing more will be written by this call: no late byte reaches the blob afterwards. Never rejects. */
  readonly done: Promise<WriteResult>
  /** Makes what was stored so far durable, and says how many bytes that are. Rejects when the store fails to. */
  durable(): Promise<number>
}

/**
 * Bytes by blob. Knows nothing of owners, HTTP or protocols. Errors: `storage_full`, `storage_failed`, `blob_gone`.
 */
export interface ByteStore {
  /** Writes what the source yields into the blob from `position` on. A short source is no error. */
  write(blob: Blob, position: number, source: Readable, options: WriteOptions): BlobWrite
  /** Bytes `[start, stop)`. Fails with `blob_gone` when the blob is no longer there. */
  read(blob: Blob, start: number, stop: number): Readable
  /** Removes the bytes; absence is no error. Durable when it resolves. */
  remove(blob: Blob): Promise<void>
  /**
   * Copies extents, in order, into `target`, going on at byte `copied`. Calls `onCopied` with durable totals; stops
   * when it answers false.
   */
  assemble(
    target: Blob,
    extents: readonly Extent[],
    options: {
      readonly copied: number
      readonly fresh: boolean
      readonly signal?: AbortSignal
      readonly onCopied: (copied: number) => Promise<boolean>
    },
  ): Promise<'done' | 'stopped'>
  /** Removes files of a dead epoch that have no row. Returns how many. */
  sweepEpoch(epoch: number, known: (ids: readonly string[]) => Promise<ReadonlySet<string>>): Promise<number>
  /** Whether bytes can be stored now; rejects with a coded error otherwise. */
  check(): Promise<void>
}

/** Verifies or computes a digest while bytes pass by. */
export interface Hasher {
  update(bytes: Buffer): void
  digest(): Digest
}
