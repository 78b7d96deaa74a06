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
import { type ClaimAnswer, refusal } from './claim-answer.js'
import { type Database, ORPHANED } from './database.js'
import { finalKey } from './final-key.js'
import type { Holdings } from './holdings.js'
import type { NodeLease } from './node-lease.js'
import { type ConcatenateAnswer, refusedPart } from './part-answer.js'
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
  /** Targets of the assemblies under way here. */
  readonly #assembling = new Set<string>()
  readonly #touchedAt = new Map<UploadId, number>()

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

  async checkpoint(
    progress: readonly { readonly claim: Claim; readonly stop: number }[],
  ): Promise<readonly number[]> {
    const { s } = this.#database
    const tokens = progress.map(({ claim }) => claim.token)
    // Of rows taken over meanwhile the lock finds nothing more: the token fences.
    const held = await this.#database.rows<{ token: string }>(
      'checkpoint',
      `with live as materialized (
         select c.token, c.upload_id, p.stop
         from unnest(?::bigint[], ?::bigint[]) as p(token, stop)
         join ${s}.claims c on c.token = p.token and c.append
         order by c.token for update of c),
       grown as (
         insert into ${s}.received (upload_id, start, stop)
         select upload_id, 0, stop from live where stop > 0 order by upload_id
         on conflict (upload_id, start) do update set stop = greatest(received.stop, excluded.stop))
       select token from live`,
      [tokens, progress.map(({ stop }) => stop)],
    )
    const still = new Set(held.map((row) => Number(row.token)))
    const gone = tokens.filter((token) => !still.has(token))
    for (const token of gone) this.#holdings.yield(token)
    await this.#touch(progress.map(({ claim }) => claim.uploadId))
    return gone
  }

  /**
   * Moves the expiry of uploads under way, seldom: it only matters to one whose server is killed, as a living claim
   * holds expiry off. A statement of its own, because it locks uploads, which claims must not come before.
   */
  async #touch(ids: readonly UploadId[]): Promise<void> {
    if (this.#expiration === null) return
    const now = performance.now()
    const oldest = now - Number.parseInt(this.#expiration, 10) / 16
    for (const [id, at] of this.#touchedAt) {
      // In order of time: the rest is younger.
      if (at > oldest) break
      this.#touchedAt.delete(id)
    }
    const due = ids.filter((id) => !this.#touchedAt.has(id))
    if (due.length === 0) return
    for (const id of due) this.#touchedAt.set(id, now)
    const { s } = this.#database
    await this.#database.rows(
      'touch',
      `with locked as (
         select id from ${s}.uploads where id = any(?::uuid[]) and protocol = 'tus' and status = 'in_progress'
         order by id for no key update)
       update ${s}.uploads u set expires_at = clock_timestamp() + ?::interval from locked where u.id = locked.id`,
      [due, this.#expiration],
    )
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

  async unreferencedBlobs(limit: number): Promise<readonly Blob[]> {
    const rows = await this.#database.rows<{ id: string; epoch: string }>(
      'unreferenced',
      `select id, epoch from ${this.#database.s}.blobs where doomed_at is not null order by doomed_at limit ?`,
      [limit],
    )
    return rows.map((row) => ({ id: row.id, epoch: Number(row.epoch) }))
  }

  async forgetBlobs(blobs: readonly Blob[]): Promise<void> {
    const { s } = this.#database
    await this.#database.rows(
      'forget_blobs',
      `delete from ${s}.blobs b where b.id = any(?::uuid[])
         and not exists (select from ${s}.extents e where e.blob_id = b.id)
         and not exists (select from ${s}.assemblies a where a.target = b.id)`,
      [blobs.map((blob) => blob.id)],
    )
  }

  async knownBlobs(epoch: number, ids: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.#database.rows<{ id: string }>(
      'known_blobs',
      `select id from ${this.#database.s}.blobs where epoch = ? and id = any(?::uuid[])`,
      [epoch, ids],
    )
    return new Set(rows.map((row) => row.id))
  }

  async retireEpochs(): Promise<readonly number[]> {
    const { s } = this.#database
    await this.#lease.buryDead()
    // The full row lock waits for those who record under the epoch at this moment, and they see it retired after.
    const rows = await this.#database.rows<{ epoch: string }>(
      'retire_epochs',
      `with lapsed as (
         select epoch from ${s}.nodes where swept_at is null and lease_until <= clock_timestamp()
         order by epoch for update skip locked)
       update ${s}.nodes n set retired_at = coalesce(n.retired_at, clock_timestamp())
       from lapsed where n.epoch = lapsed.epoch returning n.epoch`,
    )
    return rows.map((row) => Number(row.epoch))
  }

  async epochSwept(epoch: number): Promise<void> {
    await this.#database.rows(
      'epoch_swept',
      `update ${this.#database.s}.nodes set swept_at = clock_timestamp() where epoch = ?`,
      [epoch],
    )
  }

  async takeAssembly(id?: UploadId): Promise<Assembly | null> {
    const answer = await this.#database.value<{
      upload_id: string
      length: number
      copied: number
      target: Blob
      extents: ExtentRow[]
    } | null>('take_assembly', `select ${this.#database.s}.take_assembly(?, ?, ?) as value`, [
      id ?? null,
      this.epoch,
      randomUUID(),
    ])
    if (answer) this.#assembling.add(answer.target.id)
    return (
      answer && {
        uploadId: answer.upload_id,
        length: answer.length,
        target: answer.target,
        fresh: answer.copied === 0,
        copied: answer.copied,
        extents: answer.extents.map(toExtent),
      }
    )
  }

  async assemblyProgress(assembly: Assembly, copied: number): Promise<boolean> {
    const { s } = this.#database
    const ours = await this.#database.rows(
      'assembly_progress',
      `update ${s}.assemblies set copied = ? where upload_id = ? and target = ? and epoch = ? returning upload_id`,
      [copied, assembly.uploadId, assembly.target.id, this.epoch],
    )
    return ours.length > 0
  }

  async finishAssembly(
    assembly: Assembly,
  ): Promise<{ upload: Upload; unreferenced: readonly Blob[] } | null> {
    const answer = await this.#database.value<{ upload: UploadRow; unreferenced: Blob[] } | null>(
      'finish_assembly',
      `select ${this.#database.s}.finish_assembly(?, ?, ?) as value`,
      [assembly.uploadId, this.epoch, assembly.target.id],
    )
    this.#assembling.delete(assembly.target.id)
    return answer && { upload: toUpload(answer.upload), unreferenced: answer.unreferenced }
  }

  async abandonAssembly(assembly: Assembly): Promise<void> {
    const { s } = this.#database
    await this.#database.rows(
      'abandon_assembly',
      `update ${s}.assemblies set epoch = null, due_at = clock_timestamp() + interval '30 seconds'
       where upload_id = ? and target = ? and epoch = ?`,
      [assembly.uploadId, assembly.target.id, this.epoch],
    )
    this.#assembling.delete(assembly.target.id)
  }

  /** Gives back assemblies of this node that nobody here works on: the answer to their taking was lost. */
  async dropOrphans(): Promise<void> {
    await this.#database.rows(
      'orphan_assemblies',
      `update ${this.#database.s}.assemblies set epoch = null, due_at = clock_timestamp()
       where epoch = ? and taken_at < clock_timestamp() - interval '${ORPHANED}' and target <> all(?::uuid[])`,
      [this.epoch, [...this.#assembling]],
    )
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
