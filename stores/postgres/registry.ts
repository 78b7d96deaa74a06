import type { Blob, Extent } from '../../src/upload/blob.js'
import type { Digest, DigestAlgorithm } from '../../src/upload/digest.js'
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
} from '../../src/upload/ports.js'
import type { Upload, UploadId } from '../../src/upload/upload.js'
import { Assemblies, type FinishedAssembly } from './assemblies.js'
import { Claims } from './claims.js'
import { Contents } from './contents.js'
import { Creations, type OnUploadRow } from './creations.js'
import type { Database } from './database.js'
import { Digests } from './digests.js'
import { Endings } from './endings.js'
import type { Holdings } from './holdings.js'
import { Leftovers } from './leftovers.js'
import { Listings } from './listings.js'
import type { NodeLease } from './node-lease.js'
import { Progress } from './progress.js'
import { Publications } from './publications.js'
import type { Signals } from './signals.js'

export interface RegistryOptions {
  /** How long an upload may rest before it expires, in ms; null: for ever. */
  readonly expiration: number | null
  /** How long after its creation a frago upload expires, whatever comes, in ms; null: never. Default: `expiration`. */
  readonly fragoExpiration?: number | null
  readonly onUploadRow?: OnUploadRow
}

/** The registry on PostgreSQL: thin calls of the functions in `migrations/`, which hold the rules. */
export class PostgresRegistry implements UploadRegistry {
  readonly #database: Database
  readonly #lease: NodeLease
  readonly #creations: Creations
  readonly #listings: Listings
  readonly #contents: Contents
  readonly #claims: Claims
  readonly #progress: Progress
  readonly #digests: Digests
  readonly #publications: Publications
  readonly #endings: Endings
  readonly #leftovers: Leftovers
  readonly #assemblies: Assemblies

  constructor(
    database: Database,
    lease: NodeLease,
    signals: Signals,
    holdings: Holdings,
    options: RegistryOptions,
  ) {
    const { expiration, fragoExpiration = expiration, onUploadRow = null } = options
    const expirations = { tus: interval(expiration), frago: interval(fragoExpiration) }
    this.#database = database
    this.#lease = lease
    this.#creations = new Creations(database, expirations, onUploadRow)
    this.#listings = new Listings(database)
    this.#contents = new Contents(database, lease)
    this.#claims = new Claims(database, lease, signals, holdings, expirations.tus)
    this.#progress = new Progress(database, holdings, expiration)
    this.#digests = new Digests(database, lease, signals)
    this.#publications = new Publications(database, lease)
    this.#endings = new Endings(database, lease, this.#publications)
    this.#leftovers = new Leftovers(database, lease)
    this.#assemblies = new Assemblies(database, lease)
  }

  get epoch(): number {
    return this.#lease.epoch
  }

  create(draft: UploadDraft): Promise<Upload> {
    return this.#creations.create(draft)
  }

  createStored(draft: UploadDraft, blob: Blob, stored: number): Promise<Upload> {
    return this.#creations.createStored(draft, blob, stored)
  }

  findFinal(request: FinalRequest): Promise<Upload | null> {
    return this.#creations.findFinal(request)
  }

  concatenate(draft: FinalDraft): Promise<ConcatenateOutcome> {
    return this.#creations.concatenate(draft)
  }

  find(id: UploadId, owner: string | null): Promise<FoundUpload | null> {
    return this.#listings.find(id, owner)
  }

  describe(id: UploadId, owner: string | null): Promise<ListedUpload | null> {
    return this.#listings.describe(id, owner)
  }

  list(owner: string | null, limit: number): Promise<readonly ListedUpload[]> {
    return this.#listings.list(owner, limit)
  }

  extents(id: UploadId, owner: string | null): Promise<readonly Extent[] | null> {
    return this.#contents.extents(id, owner)
  }

  prefix(id: UploadId): Promise<Prefix | null> {
    return this.#contents.prefix(id)
  }

  claim(request: ClaimRequest): Promise<Claim | null> {
    return this.#claims.claim(request)
  }

  relocate(claim: Claim): Promise<Claim> {
    return this.#claims.relocate(claim)
  }

  askToYield(id: UploadId, start?: number, stop?: number | null): Promise<boolean> {
    return this.#claims.askToYield(id, start, stop)
  }

  handedBack(id: UploadId, milliseconds: number): Promise<void> {
    return this.#claims.handedBack(id, milliseconds)
  }

  checkpoint(progress: Parameters<UploadRegistry['checkpoint']>[0]): Promise<readonly number[]> {
    return this.#progress.checkpoint(progress)
  }

  record(claim: Claim, stop: number): Promise<Recorded> {
    return this.#claims.record(claim, stop)
  }

  release(claim: Claim): Promise<void> {
    return this.#claims.release(claim)
  }

  takeDigest(id: UploadId, algorithm: DigestAlgorithm): Promise<DigestTurn | null> {
    return this.#digests.take(id, algorithm)
  }

  noteDigest(id: UploadId, token: number, digest: Digest): Promise<boolean> {
    return this.#digests.note(id, token, digest)
  }

  leaveDigest(id: UploadId, token: number): Promise<void> {
    return this.#digests.leave(id, token)
  }

  onDigestWanted(listener: (id: UploadId) => void): () => void {
    return this.#digests.onWanted(listener)
  }

  complete(request: CompleteRequest): Promise<CompleteOutcome> {
    return this.#endings.complete(request)
  }

  terminate(id: UploadId, owner: string | null): Promise<Terminated | null> {
    return this.#endings.terminate(id, owner)
  }

  expireDue(limit: number): Promise<Expired> {
    return this.#endings.expireDue(limit)
  }

  takePublication(id: UploadId): Promise<PublishTurn | null> {
    return this.#publications.take(id)
  }

  publish(
    publication: Publication,
    place: (holder: Publication | null) => Promise<Placed>,
  ): Promise<Published | null> {
    return this.#publications.publish(publication, place)
  }

  leavePublication(id: UploadId): Promise<void> {
    return this.#publications.leave(id)
  }

  unpublished(limit: number): Promise<readonly UploadId[]> {
    return this.#publications.unpublished(limit)
  }

  retractedPublications(limit: number): Promise<readonly Publication[]> {
    return this.#publications.retracted(limit)
  }

  forgetPublications(publications: readonly Publication[]): Promise<void> {
    return this.#publications.forget(publications)
  }

  releasePublished(retain: number, limit: number) {
    return this.#publications.release(retain, limit)
  }

  forgetLost(id: UploadId, blob: Blob): Promise<boolean> {
    return this.#contents.forgetLost(id, blob)
  }

  unreferencedBlobs(limit: number): Promise<readonly Blob[]> {
    return this.#leftovers.unreferencedBlobs(limit)
  }

  forgetBlobs(blobs: readonly Blob[]): Promise<void> {
    return this.#leftovers.forgetBlobs(blobs)
  }

  knownBlobs(epoch: number, ids: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#leftovers.knownBlobs(epoch, ids)
  }

  retireEpochs(): Promise<readonly number[]> {
    return this.#leftovers.retireEpochs()
  }

  epochSwept(epoch: number): Promise<void> {
    return this.#leftovers.epochSwept(epoch)
  }

  takeAssembly(id?: UploadId, shared = false): Promise<Assembly | null> {
    return this.#assemblies.take(id, shared)
  }

  assemblyProgress(assembly: Assembly, copied: number): Promise<boolean> {
    return this.#assemblies.progress(assembly, copied)
  }

  finishAssembly(assembly: Assembly): Promise<FinishedAssembly | null> {
    return this.#assemblies.finish(assembly)
  }

  abandonAssembly(assembly: Assembly): Promise<void> {
    return this.#assemblies.abandon(assembly)
  }

  /** Gives back what this node has taken without anybody here knowing of it. */
  async dropOrphans(): Promise<void> {
    await this.#assemblies.dropOrphans()
    await this.#digests.dropOrphans()
    await this.#publications.dropOrphans()
  }

  async check(): Promise<void> {
    await this.#database.rows('check', 'select 1')
  }
}

function interval(milliseconds: number | null): string | null {
  return milliseconds === null ? null : `${milliseconds} milliseconds`
}
