import type { Knex } from 'knex'
import type { Blob } from '../../src/upload/blob.js'
import type { ConcatenateOutcome, FinalDraft, FinalRequest, UploadDraft } from '../../src/upload/ports.js'
import type { Upload, UploadProtocol } from '../../src/upload/upload.js'
import { lost } from './claim-answer.js'
import type { Database, Transaction } from './database.js'
import { finalKey } from './final-key.js'
import { type ConcatenateAnswer, refusedPart } from './part-answer.js'
import { Queue } from './queue.js'
import { toUpload, type UploadRow } from './rows.js'

/**
 * Called with each new upload in the transaction that makes its row, after it: rows of one's own then appear together
 * with it, or neither does. What it throws undoes the upload and is thrown to whoever asked for it. It may be called
 * again for the same upload, after a deadlock; it is to use the transaction only, and holds a connection meanwhile.
 */
export type OnUploadRow = (trx: Knex.Transaction, upload: Upload) => Promise<void>

/** Where statements run: by themselves, or in a transaction. */
type Runner = Pick<Transaction, 'value'>

/** How long uploads of a protocol may rest, as an interval; null: for ever. */
export type Expirations = Readonly<Record<UploadProtocol, string | null>>

/** Each holds a connection for as long as the hook takes; the others are for whoever has bytes on their way. */
const MOST_HOOKS = 4

/** New uploads. */
export class Creations {
  readonly #database: Database
  readonly #expirations: Expirations
  readonly #onUploadRow: OnUploadRow | null
  readonly #queue = new Queue(MOST_HOOKS)

  constructor(database: Database, expirations: Expirations, onUploadRow: OnUploadRow | null) {
    this.#database = database
    this.#expirations = expirations
    this.#onUploadRow = onUploadRow
  }

  create(draft: UploadDraft): Promise<Upload> {
    return this.#made(
      (runner) => this.#create(runner, draft),
      (upload) => upload,
    )
  }

  createStored(draft: UploadDraft, blob: Blob, stored: number): Promise<Upload> {
    return this.#made(
      (runner) => this.#createStored(runner, draft, blob, stored),
      (upload) => upload,
    )
  }

  concatenate(draft: FinalDraft): Promise<ConcatenateOutcome> {
    return this.#made(
      (runner) => this.#concatenate(runner, draft),
      ({ upload, repeated }) => (repeated ? null : upload),
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

  /** One plain statement, or a transaction where the hook sees what `news` finds to be new in the outcome. */
  async #made<T>(make: (runner: Runner) => Promise<T>, news: (outcome: T) => Upload | null): Promise<T> {
    const hook = this.#onUploadRow
    if (hook === null) return make(this.#database)
    return this.#queue.run(() =>
      this.#database.transaction(async (transaction) => {
        const outcome = await make(transaction)
        const upload = news(outcome)
        if (upload === null) return outcome
        await hook(transaction.knex, upload)
        // A hook that swallows the error of a statement leaves a transaction whose COMMIT undoes all and says nothing.
        await transaction.rows('still_there', 'select 1')
        return outcome
      }),
    )
  }

  async #create(runner: Runner, draft: UploadDraft): Promise<Upload> {
    const { s } = this.#database
    const row = await runner.value<UploadRow>(
      'create',
      `with made as (
         insert into ${s}.uploads (id, owner, kind, protocol, length, metadata, filename, status, completed_at, expires_at)
         select ?::uuid, ?::text, d.kind, d.protocol, d.length, ?::text, ?::text,
           case when d.whole then 'complete' else 'in_progress' end,
           case when d.whole then clock_timestamp() end,
           case when not d.whole or d.kind = 'partial' then clock_timestamp() + d.expiration end
         from (select d.*, coalesce(d.length = 0 and d.protocol = 'tus', false) as whole
               from (select ?::text as kind, ?::text as protocol, ?::bigint as length, ?::interval as expiration) d) d
         returning *)
       select ${s}.describe(made::${s}.uploads) as value from made`,
      [
        draft.id,
        draft.owner,
        draft.metadata,
        draft.filename,
        draft.kind,
        draft.protocol,
        draft.length,
        this.#expirations[draft.protocol],
      ],
    )
    return toUpload(row)
  }

  async #createStored(runner: Runner, draft: UploadDraft, blob: Blob, stored: number): Promise<Upload> {
    const row = await runner.value<UploadRow | null>(
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
        this.#expirations[draft.protocol],
      ],
    )
    if (row === null) throw lost()
    return toUpload(row)
  }

  async #concatenate(runner: Runner, draft: FinalDraft): Promise<ConcatenateOutcome> {
    const answer = await runner.value<ConcatenateAnswer>(
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
        this.#expirations.tus,
      ],
    )
    if (answer.outcome === 'made' || answer.outcome === 'repeated') {
      return { upload: toUpload(answer.upload), repeated: answer.outcome === 'repeated' }
    }
    throw refusedPart(answer, draft)
  }
}
