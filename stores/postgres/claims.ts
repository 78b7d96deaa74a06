import { randomUUID } from 'node:crypto'
import type { Blob } from '../../src/upload/blob.js'
import { notFound } from '../../src/upload/errors.js'
import type { Claim, ClaimRequest, Recorded } from '../../src/upload/ports.js'
import type { UploadId } from '../../src/upload/upload.js'
import { type ClaimAnswer, lost, refusal } from './claim-answer.js'
import type { Database } from './database.js'
import type { Holdings } from './holdings.js'
import type { NodeLease } from './node-lease.js'
import { toExtent, toUpload, type UploadRow } from './rows.js'
import type { Signals } from './signals.js'

type RecordAnswer =
  | { readonly outcome: 'unknown' }
  | { readonly outcome: 'lost' }
  | {
      readonly outcome: 'recorded'
      readonly completed: boolean
      readonly upload: UploadRow
      readonly finals: readonly UploadRow[]
      /** Not there where `recorded_before` answers: then nothing was replaced. */
      readonly unreferenced?: readonly Blob[]
    }

/** Where messages of other nodes do not arrive, they are looked for this often, in ms. */
const POLL_MS = 200

/** Ranges on their way from being claimed to being received. */
export class Claims {
  readonly #database: Database
  readonly #lease: NodeLease
  readonly #signals: Signals
  readonly #holdings: Holdings
  readonly #expiration: string | null

  constructor(
    database: Database,
    lease: NodeLease,
    signals: Signals,
    holdings: Holdings,
    expiration: string | null,
  ) {
    this.#database = database
    this.#lease = lease
    this.#signals = signals
    this.#holdings = holdings
    this.#expiration = expiration
  }

  claim(request: ClaimRequest): Promise<Claim | null> {
    return this.#holdings.claiming(() => this.#claim(request))
  }

  async #claim(request: ClaimRequest): Promise<Claim | null> {
    const answer = await this.#lease.living((epoch) =>
      this.#database.value<ClaimAnswer | { readonly outcome: 'lapsed' }>(
        'claim',
        `select ${this.#database.s}.claim_range(?, ?, ?, ?, ?, ?, ?, ?) as value`,
        [
          request.id,
          request.owner,
          request.protocol,
          request.start,
          request.stop,
          request.declaredLength,
          epoch,
          randomUUID(),
        ],
      ),
    )
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
      replaces: answer.replaces
        ? { stop: answer.replaces.stop, extents: answer.replaces.extents.map(toExtent) }
        : null,
      yielded: this.#holdings.hold(answer.token),
    }
  }

  async relocate(claim: Claim): Promise<Claim> {
    const blob = { id: randomUUID(), epoch: this.#lease.epoch }
    const moved = await this.#database.value<boolean>(
      'relocate',
      `select ${this.#database.s}.relocate_claim(?, ?, ?) as value`,
      [claim.token, blob.epoch, blob.id],
    )
    if (!moved) throw lost()
    return { ...claim, blob, blobOffset: 0, fresh: true }
  }

  async askToYield(id: UploadId, start = 0, stop: number | null = null): Promise<boolean> {
    const { s, channel } = this.#database
    const asked = await this.#database.rows(
      'ask_to_yield',
      `with asked as (
         update ${s}.claims set yield_requested_at = coalesce(yield_requested_at, clock_timestamp())
         where upload_id = ? and range && int8range(?, ?) returning token)
       select pg_notify(?, 'yield ' || token) from asked`,
      [id, start, stop, channel],
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
    const answer = await (claim.replaces === null ? this.#record(claim, stop) : this.#replace(claim, stop))
    this.#holdings.drop(claim.token)
    if (answer.outcome === 'unknown') throw notFound()
    if (answer.outcome === 'lost') throw lost()
    return {
      upload: toUpload(answer.upload),
      unreferenced: answer.unreferenced ?? [],
      completed: answer.completed,
      completedFinals: answer.finals.map(toUpload),
    }
  }

  #record(claim: Claim, stop: number): Promise<RecordAnswer> {
    const { s, channel } = this.#database
    return this.#database.value('record', `select ${s}.record_range(?, ?, ?, ?, ?) as value`, [
      channel,
      claim.uploadId,
      claim.token,
      stop,
      this.#expiration,
    ])
  }

  #replace(claim: Claim, stop: number): Promise<RecordAnswer> {
    const { s, channel } = this.#database
    return this.#database.value('replace', `select ${s}.record_replacement(?, ?, ?, ?, ?, ?) as value`, [
      channel,
      claim.uploadId,
      claim.token,
      stop,
      claim.blob.id,
      claim.blob.epoch,
    ])
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
}
