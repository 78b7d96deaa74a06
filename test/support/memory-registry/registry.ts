import { setImmediate as turn } from 'node:timers/promises'
import type { Blob, Extent } from '../../../src/upload/blob.js'
import type { Digest, DigestAlgorithm } from '../../../src/upload/digest.js'
import { UploadError } from '../../../src/upload/errors.js'
import type {
  Assembly,
  Claim,
  ClaimRequest,
  CompleteOutcome,
  CompleteRequest,
  ConcatenateOutcome,
  DigestTurn,
  Expired,
  FinalDraft,
  FinalRequest,
  FoundUpload,
  ListedUpload,
  Placed,
  Prefix,
  Publication,
  Published,
  PublishTurn,
  Recorded,
  Terminated,
  UploadDraft,
  UploadRegistry,
} from '../../../src/upload/ports.js'
import type { Upload, UploadId } from '../../../src/upload/upload.js'
import { abandonAssembly, assemblyProgress, finishAssembly, takeAssembly } from './assembling.js'
import { extentsOf, forgetBlobs, unreferenced } from './blobs.js'
import { claim, relocate } from './claiming.js'
import { complete } from './completing-chunks.js'
import { concatenate, findFinal } from './concatenating.js'
import { create, createStored } from './creating.js'
import { leaveDigest, noteDigest, takeDigest } from './digesting.js'
import { expireDue, terminate } from './ending.js'
import { describeUpload, list, prefix } from './listing.js'
import { forgetLost } from './losing.js'
import { MemoryNode } from './node.js'
import {
  forgetPublications,
  leavePublication,
  releasePublished,
  retractedPublications,
  takePublication,
  unpublished,
} from './publishing.js'
import { publishInTurn, unlocked } from './publishing-turns.js'
import { checkpoint, record, release } from './recording.js'
import { type ClaimRow, overlaps, type Session } from './rows.js'
import type { Tables } from './tables.js'

/**
 * One node of a `MemoryDatabase`. A transaction is a function that does not await, so it is atomic; every method
 * gives way to others first, so that concurrent calls of tests come in as many orders as a database would see.
 */
export class MemoryRegistry implements UploadRegistry {
  readonly #db: Tables
  readonly #node: MemoryNode
  readonly #assemblies = new WeakMap<Assembly, number>()

  constructor(db: Tables, expirations: { expiration: number; fragoExpiration: number }, lease: number) {
    this.#db = db
    this.#node = new MemoryNode(db, expirations, lease)
  }

  get epoch(): number {
    return this.#node.epoch
  }

  /** Loses the lease, as a frozen process does, and hears nothing until it thaws. */
  lapse(): void {
    this.#node.lapse()
  }

  /** Is proved dead, or stopped in order: it surely writes no more. */
  bury(): void {
    this.#node.bury()
  }

  /** Goes on after a freeze. */
  thaw(): void {
    this.#node.thaw()
  }

  /** Ends as by kill -9. */
  die(): void {
    this.#node.die()
  }

  create(draft: UploadDraft): Promise<Upload> {
    return this.#run((session) => create(this.#db, session, draft))
  }

  createStored(draft: UploadDraft, blob: Blob, stored: number): Promise<Upload> {
    return this.#run((session) => createStored(this.#db, session, draft, blob, stored))
  }

  find(id: UploadId, owner: string | null): Promise<FoundUpload | null> {
    return this.#run(() => {
      const row = this.#db.owned(id, owner)
      return row && { upload: this.#db.view(row), held: this.#db.held(id) }
    })
  }

  claim(request: ClaimRequest): Promise<Claim | null> {
    return this.#run(() => {
      const row = claim(this.#db, this.#node.livingSession(), request)
      return row && this.#handOut(row)
    })
  }

  askToYield(id: UploadId, start = 0, stop: number | null = null): Promise<boolean> {
    return this.#run(() => {
      const asked = this.#db.claimsOn(id).filter((claim) => overlaps(claim, { start, stop }))
      for (const { token } of asked) this.#db.signals.emit('yield', id, token)
      return asked.length > 0
    })
  }

  relocate(held: Claim): Promise<Claim> {
    return this.#run((session) => {
      const moved = relocate(this.#db, session, held.token)
      if (moved === null) throw new UploadError('claim_lost', 'The claim no longer holds.')
      return { ...held, blob: moved.blob, blobOffset: 0, fresh: true }
    })
  }

  handedBack(id: UploadId, milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#db.signals.off('handedBack', heard)
        resolve()
      }
      const heard = (ended: UploadId) => {
        if (ended === id) done()
      }
      const timer = setTimeout(done, milliseconds)
      this.#db.signals.on('handedBack', heard)
    })
  }

  checkpoint(
    progress: readonly { readonly claim: Claim; readonly stop: number }[],
  ): Promise<readonly number[]> {
    return this.#run((session) => {
      const lost = checkpoint(this.#db, session, progress)
      for (const token of lost) this.#node.stop(token)
      return lost
    })
  }

  record(held: Claim, stop: number): Promise<Recorded> {
    return this.#run((session) => {
      const recorded = record(this.#db, session, held, stop)
      this.#node.untrack(held.token)
      return recorded
    })
  }

  release(held: Claim): Promise<void> {
    return this.#run(() => {
      release(this.#db, held)
      this.#node.untrack(held.token)
    })
  }

  describe(id: UploadId, owner: string | null): Promise<ListedUpload | null> {
    return this.#run(() => describeUpload(this.#db, id, owner))
  }

  list(owner: string | null, limit: number): Promise<readonly ListedUpload[]> {
    return this.#run(() => list(this.#db, owner, limit))
  }

  prefix(id: UploadId): Promise<Prefix | null> {
    return this.#run(() => prefix(this.#db, id))
  }

  takeDigest(id: UploadId, algorithm: DigestAlgorithm): Promise<DigestTurn | null> {
    return this.#run(() => takeDigest(this.#db, this.#node.livingSession(), id, algorithm))
  }

  noteDigest(id: UploadId, token: number, digest: Digest): Promise<boolean> {
    return this.#run(() => noteDigest(this.#db, id, token, digest))
  }

  leaveDigest(id: UploadId, token: number): Promise<void> {
    return this.#run(() => leaveDigest(this.#db, id, token))
  }

  onDigestWanted(listener: (id: UploadId) => void): () => void {
    const heard = (id: UploadId) => {
      if (this.#node.hears) listener(id)
    }
    this.#db.signals.on('digestWanted', heard)
    return () => this.#db.signals.off('digestWanted', heard)
  }

  forgetLost(id: UploadId, blob: Blob): Promise<boolean> {
    return this.#run(() => forgetLost(this.#db, this.#node.livingSession(), id, blob))
  }

  complete(request: CompleteRequest): Promise<CompleteOutcome> {
    return this.#run((session) => complete(this.#db, session, request))
  }

  takePublication(id: UploadId): Promise<PublishTurn | null> {
    return this.#run(() => takePublication(this.#db, this.#node.livingSession(), id))
  }

  publish(
    publication: Publication,
    place: (holder: Publication | null) => Promise<Placed>,
  ): Promise<Published | null> {
    return publishInTurn(this.#db, (transaction) => this.#run(transaction), publication, place)
  }

  leavePublication(id: UploadId): Promise<void> {
    return this.#run((session) => leavePublication(this.#db, session, id))
  }

  unpublished(limit: number): Promise<readonly UploadId[]> {
    return this.#run(() => unpublished(this.#db, limit))
  }

  retractedPublications(limit: number): Promise<readonly Publication[]> {
    return this.#run(() => retractedPublications(this.#db, limit))
  }

  forgetPublications(publications: readonly Publication[]): Promise<void> {
    return this.#run(() => forgetPublications(this.#db, publications))
  }

  releasePublished(
    retain: number,
    limit: number,
  ): Promise<{ readonly count: number; readonly unreferenced: readonly Blob[] }> {
    return this.#run(() => releasePublished(this.#db, retain, limit))
  }

  findFinal(request: FinalRequest): Promise<Upload | null> {
    return this.#run(() => findFinal(this.#db, request))
  }

  concatenate(draft: FinalDraft): Promise<ConcatenateOutcome> {
    return this.#run((session) => concatenate(this.#db, session, draft))
  }

  extents(id: UploadId, owner: string | null): Promise<readonly Extent[] | null> {
    return this.#run(() => {
      const row = this.#db.owned(id, owner)
      return row && this.#db.statusOf(row) === 'complete' ? extentsOf(this.#db, row) : null
    })
  }

  terminate(id: UploadId, owner: string | null): Promise<Terminated | null> {
    return unlocked(
      this.#db,
      (transaction) => this.#run(transaction),
      id,
      () => terminate(this.#db, id, owner),
    )
  }

  expireDue(limit: number): Promise<Expired> {
    return this.#run(() => expireDue(this.#db, limit))
  }

  unreferencedBlobs(limit: number): Promise<readonly Blob[]> {
    return this.#run(() => unreferenced(this.#db).slice(0, limit))
  }

  forgetBlobs(blobs: readonly Blob[]): Promise<void> {
    return this.#run(() => forgetBlobs(this.#db, blobs))
  }

  knownBlobs(epoch: number, ids: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#run(() => new Set(ids.filter((id) => this.#db.blobs.get(id)?.blob.epoch === epoch)))
  }

  retireEpochs(): Promise<readonly number[]> {
    return this.#run(() => {
      for (const [epoch, row] of this.#db.epochs) if (!this.#db.living(epoch)) row.retired = true
      return [...this.#db.epochs].filter(([, row]) => row.retired && !row.swept).map(([epoch]) => epoch)
    })
  }

  epochSwept(epoch: number): Promise<void> {
    return this.#run(() => {
      const row = this.#db.epochs.get(epoch)
      if (row?.retired) row.swept = true
    })
  }

  takeAssembly(id?: UploadId, shared = false): Promise<Assembly | null> {
    return this.#run(() => {
      const taken = takeAssembly(this.#db, this.#node.livingSession(), id, shared)
      if (taken === null) return null
      this.#assemblies.set(taken.assembly, taken.token)
      return taken.assembly
    })
  }

  assemblyProgress(assembly: Assembly, copied: number): Promise<boolean> {
    return this.#run(() => assemblyProgress(this.#db, assembly.uploadId, this.#tokenOf(assembly), copied))
  }

  finishAssembly(assembly: Assembly): Promise<{ upload: Upload; unreferenced: readonly Blob[] } | null> {
    return this.#run(() => finishAssembly(this.#db, assembly.uploadId, this.#tokenOf(assembly)))
  }

  abandonAssembly(assembly: Assembly): Promise<void> {
    return this.#run(() => abandonAssembly(this.#db, assembly.uploadId, this.#tokenOf(assembly)))
  }

  check(): Promise<void> {
    return this.#run(() => undefined)
  }

  async #run<T>(transaction: (session: Session) => T): Promise<T> {
    await turn()
    if (this.#node.dead) throw new Error('this node was killed')
    if (this.#db.away) throw new UploadError('registry_unavailable', 'The database does not answer.')
    return transaction(this.#node.session)
  }

  #handOut(row: ClaimRow): Claim {
    return {
      token: row.token,
      uploadId: row.uploadId,
      start: row.start,
      length: this.#db.uploads.get(row.uploadId)?.length ?? null,
      blob: row.blob,
      blobOffset: row.blobOffset,
      fresh: !this.#db.blobs.get(row.blob.id)?.written,
      replaces: row.replaces,
      yielded: this.#node.track(row),
    }
  }

  #tokenOf(assembly: Assembly): number {
    return this.#assemblies.get(assembly) ?? -1
  }
}
