import { randomUUID } from 'node:crypto'
import type { Blob } from '../../src/upload/blob.js'
import { notFound, UploadError } from '../../src/upload/errors.js'
import type {
  Assembly,
  Claim,
  ClaimRequest,
  ConcatenateOutcome,
  Expired,
  FinalDraft,
  FinalRequest,
  FoundUpload,
  Recorded,
  Terminated,
  UploadDraft,
  UploadRegistry,
} from '../../src/upload/ports.js'
import type { Upload, UploadId } from '../../src/upload/upload.js'
import { Assemblies, type FinishedAssembly } from './assemblies.js'
import { type ClaimAnswer, refusal } from './claim-answer.js'
import type { Database } from './database.js'
import { finalKey } from './final-key.js'
import type { Holdings } from './holdings.js'
import { Leftovers } from './leftovers.js'
import type { NodeLease } from './node-lease.js'
import { type ConcatenateAnswer, refusedPart } from './part-answer.js'
import { Progress } from './progress.js'
import { type ExtentRow, toExtent, toUpload, type UploadRow } from './rows.js'
import type { Signals } from './signals.js'

export interface RegistryOptions {
  /** How long an upload may rest before it expires, in ms; null: for ever. */
  readonly expiration: number | null
}

/** Where messages of other nodes do not arrive, they are looked for this often, in ms. */
const POLL_MS = 200

/** The registry on PostgreSQL: thin calls of the functions in `migrations/`, which hold the rules. */
export class PostgresRegistry implements UploadRegistry {
  readonly #database: Database
  readonly #lease: NodeLease
  readonly #signals: Signals
  readonly #holdings: Holdings
  readonly #expiration: string | null
  readonly #progress: Progress
  readonly #leftovers: Leftovers
  readonly #assemblies: Assemblies

  constructor(
    database: Database,
    lease: NodeLease,
    signals: Signals,
    holdings: Holdings,
    options: RegistryOptions,
  ) {
    this.#database = database
    this.#lease = lease
    this.#signals = signals
    this.#holdings = holdings
    this.#expiration = options.expiration === null ? null : `${options.expiration} milliseconds`
    this.#progress = new Progress(database, holdings, options.expiration)
    this.#leftovers = new Leftovers(database, lease)
    this.#assemblies = new Assemblies(database, lease)
  }

  get epoch(): number {
    return this.#lease.epoch
  }

  async create(draft: UploadDraft): Promise<Upload> {
    const { s } = this.#database
    const row = await this.#database.value<UploadRow>(
      'create',
      `with made as (
         insert into ${s}.uploads (id, owner, kind, protocol, length, metadata, filename, status, completed_at, expires_at)
         select ?::uuid, ?::text, d.kind, ?::text, d.length, ?::text, ?::text,
           case when d.length = 0 then 'complete' else 'in_progress' end,
           case when d.length = 0 then clock_timestamp() end,
           case when d.length is distinct from 0 or d.kind = 'partial' then clock_timestamp() + d.expiration end
         from (select ?::text as kind, ?::bigint as length, ?::interval as expiration) d
         returning *)
       select ${s}.describe(made::${s}.uploads) as value from made`,
      [
        draft.id,
        draft.owner,
        draft.protocol,
        draft.metadata,
        draft.filename,
        draft.kind,
        draft.length,
        this.#expiration,
      ],
    )
    return toUpload(row)
  }

  async createStored(draft: UploadDraft, blob: Blob, stored: number): Promise<Upload> {
    const row = await this.#database.value<UploadRow | null>(
      'create_stored',
      `select ${this.#database.s}.create_stored(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) as value`,
      [
        blob.epoch,
        blob.id,
        stored,
        draft.id,
        draft.owner,
        draft.kind,
        draft.protocol,
        draft.length,
        draft.metadata,
        draft.filename,
        this.#expiration,
      ],
    )
    if (row === null) throw lost()
    return toUpload(row)
  }

  async find(id: UploadId, owner: string | null): Promise<FoundUpload | null> {
    const { s } = this.#database
    const [row] = await this.#database.rows<{ upload: UploadRow; held: boolean }>(
      'find',
      `select ${s}.describe(u) as upload, u.status = 'in_progress' and ${s}.held(u.id) as held
       from ${s}.uploads u where u.id = ? and u.owner is not distinct from ?::text`,
      [id, owner],
    )
    return row ? { upload: toUpload(row.upload), held: row.held } : null
  }

  claim(request: ClaimRequest): Promise<Claim | null> {
    return this.#holdings.claiming(() => this.#claim(request))
  }

  async #claim(request: ClaimRequest): Promise<Claim | null> {
    for (;;) {
      const answer = await this.#database.value<ClaimAnswer>(
        'claim',
        `select ${this.#database.s}.claim_range(?, ?, ?, ?, ?, ?, ?, ?) as value`,
        [
          request.id,
          request.owner,
          request.protocol,
          request.start,
          request.stop,
          request.declaredLength,
          this.epoch,
          randomUUID(),
        ],
      )
      if (answer.outcome === 'lapsed') {
        await this.#lease.renew()
        continue
      }
      if (answer.outcome === 'held') return null
      if (answer.outcome !== 'granted') throw refusal(answer, request)
      return {
        token: answer.token,
        uploadId: request.id,
        start: request.start,
        length: answer.length,
        blob: answer.blob,
        blobOffset: answer.blob_offset,
        fresh: answer.fresh,
        yielded: this.#holdings.hold(answer.token),
      }
    }
  }

  async askToYield(id: UploadId): Promise<boolean> {
    const { s, channel } = this.#database
    const asked = await this.#database.rows(
      'ask_to_yield',
      `with asked as (
         update ${s}.claims set yield_requested_at = coalesce(yield_requested_at, clock_timestamp())
         where upload_id = ? returning token)
       select pg_notify(?, 'yield ' || token) from asked`,
      [id, channel],
    )
    return asked.length > 0
  }

  handedBack(id: UploadId, milliseconds: number): Promise<void> {
    const limit = this.#signals.listening ? milliseconds : Math.min(milliseconds, POLL_MS)
    return new Promise((resolve) => {
      const done = () => {
        off()
        clearTimeout(timer)
        resolve()
      }
      const off = this.#signals.on(`handed ${id}`, done)
      const timer = setTimeout(done, limit)
    })
  }

  async record(claim: Claim, stop: number): Promise<Recorded> {
    const { s, channel } = this.#database
    const answer = await this.#database.value<
      | { outcome: 'unknown' }
      | { outcome: 'lost' }
      | { outcome: 'recorded'; completed: boolean; upload: UploadRow; finals: UploadRow[] }
    >('record', `select ${s}.record_range(?, ?, ?, ?, ?) as value`, [
      channel,
      claim.uploadId,
      claim.token,
      stop,
      this.#expiration,
    ])
    this.#holdings.drop(claim.token)
    if (answer.outcome === 'unknown') throw notFound()
    if (answer.outcome === 'lost') throw lost()
    return {
      upload: toUpload(answer.upload),
      completed: answer.completed,
      completedFinals: answer.finals.map(toUpload),
    }
  }

  async release(claim: Claim): Promise<void> {
    const { s, channel } = this.#database
    this.#holdings.drop(claim.token)
    await this.#database.rows(
      'release',
      `with gone as (delete from ${s}.claims where token = ? returning upload_id, yield_requested_at)
       select pg_notify(?, 'handed ' || upload_id) from gone where yield_requested_at is not null`,
      [claim.token, channel],
    )
  }

  async findFinal(request: FinalRequest): Promise<Upload | null> {
    const { s } = this.#database
    const [row] = await this.#database.rows<{ upload: UploadRow }>(
      'find_final',
      `select ${s}.describe(u) as upload from ${s}.uploads u where u.final_key = ?`,
      [finalKey(request)],
    )
    return row ? toUpload(row.upload) : null
  }

  async concatenate(draft: FinalDraft): Promise<ConcatenateOutcome> {
    const answer = await this.#database.value<ConcatenateAnswer>(
      'concatenate',
      `select ${this.#database.s}.concatenate(?, ?, ?, ?, ?, ?::uuid[], ?::text[], ?, ?) as value`,
      [
        draft.id,
        finalKey(draft),
        draft.owner,
        draft.metadata,
        draft.filename,
        draft.parts.map((part) => part.id),
        draft.parts.map((part) => part.name),
        draft.maxSize,
        this.#expiration,
      ],
    )
    if (answer.outcome === 'made' || answer.outcome === 'repeated') {
      return { upload: toUpload(answer.upload), repeated: answer.outcome === 'repeated' }
    }
    throw refusedPart(answer, draft)
  }

  async extents(id: UploadId, owner: string | null) {
    const { s } = this.#database
    const [row] = await this.#database.rows<{ extents: ExtentRow[] | null }>(
      'extents',
      `select (select jsonb_agg(jsonb_build_object('start', e.start, 'stop', coalesce(e.stop, u.length),
           'blob', jsonb_build_object('id', b.id, 'epoch', b.epoch), 'blob_offset', e.blob_offset) order by e.start)
         from ${s}.extents e join ${s}.blobs b on b.id = e.blob_id
         where e.upload_id = u.id and e.start < u.length) as extents
       from ${s}.uploads u
       where u.id = ? and u.owner is not distinct from ?::text and ${s}.status_now(u) = 'complete'`,
      [id, owner],
    )
    return row ? (row.extents ?? []).map(toExtent) : null
  }

  async terminate(id: UploadId, owner: string | null): Promise<Terminated | null> {
    const { s, channel } = this.#database
    const answer = await this.#database.value<{
      upload: UploadRow
      finals: UploadRow[]
      unreferenced: Blob[]
    } | null>('terminate', `select ${s}.terminate(?, ?, ?) as value`, [channel, id, owner])
    return (
      answer && {
        upload: toUpload(answer.upload),
        expiredFinals: answer.finals.map(toUpload),
        unreferenced: answer.unreferenced,
      }
    )
  }

  async expireDue(limit: number): Promise<Expired> {
    const answer = await this.#database.value<{ uploads: UploadRow[]; unreferenced: Blob[] }>(
      'expire_due',
      `select ${this.#database.s}.expire_due(?) as value`,
      [limit],
    )
    return { uploads: answer.uploads.map(toUpload), unreferenced: answer.unreferenced }
  }

  checkpoint(progress: Parameters<UploadRegistry['checkpoint']>[0]): Promise<readonly number[]> {
    return this.#progress.checkpoint(progress)
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

  takeAssembly(id?: UploadId): Promise<Assembly | null> {
    return this.#assemblies.take(id)
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

  /** Gives back assemblies of this node that nobody here works on. */
  dropOrphans(): Promise<void> {
    return this.#assemblies.dropOrphans()
  }

  async check(): Promise<void> {
    await this.#database.rows('check', 'select 1')
  }
}

/** The claim was taken over, or its epoch has lapsed: what was written under it does not count. */
function lost(): UploadError {
  return new UploadError(
    'claim_lost',
    'Another request took this upload over meanwhile; ask for its offset and go on.',
  )
}
