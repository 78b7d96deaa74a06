import type { Knex } from 'knex'
import type { Blob } from '../../src/upload/blob.js'
import type { ConcatenateOutcome, FinalDraft, FinalRequest, UploadDraft } from '../../src/upload/ports.js'
import type { Upload } from '../../src/upload/upload.js'
import { Batch } from './batch.js'
import { lost } from './claim-answer.js'
import type { Database, Transaction } from './database.js'
import { finalKey } from './final-key.js'
import { type Expirations, type NewUpload, recordNew } from './new-uploads.js'
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
type Runner = Pick<Transaction, 'rows' | 'value'>

/** Each holds a connection for as long as the hook takes; the others are for whoever has bytes on their way. */
const MOST_HOOKS = 4

/** New uploads. */
export class Creations {
  readonly #database: Database
  readonly #expirations: Expirations
  readonly #onUploadRow: OnUploadRow | null
  readonly #queue = new Queue(MOST_HOOKS)
  readonly #recording = new Batch<NewUpload, Upload | null>((all) => this.#recordAll(this.#database, all))

  constructor(database: Database, expirations: Expirations, onUploadRow: OnUploadRow | null) {
    this.#database = database
    this.#expirations = expirations
    this.#onUploadRow = onUploadRow
  }

  async create(draft: UploadDraft): Promise<Upload> {
    return this.#record({ draft, content: null })
  }

  async createStored(draft: UploadDraft, blob: Blob, stored: number): Promise<Upload> {
    return this.#record({ draft, content: { blob, stored } })
  }

  async #record(upload: NewUpload): Promise<Upload> {
    const made =
      this.#onUploadRow === null
        ? await this.#recording.call(upload)
        : await this.#hooked(
            async (transaction) => (await this.#recordAll(transaction, [upload]))[0] ?? null,
            (outcome) => outcome,
          )
    if (made === null) throw lost()
    return made
  }

  #recordAll(runner: Runner, uploads: readonly NewUpload[]): Promise<readonly (Upload | null)[]> {
    return recordNew(runner, this.#database.s, this.#expirations, uploads)
  }

  concatenate(draft: FinalDraft): Promise<ConcatenateOutcome> {
    if (this.#onUploadRow === null) return this.#concatenate(this.#database, draft)
    return this.#hooked(
      (transaction) => this.#concatenate(transaction, draft),
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

  /** A transaction in which the hook sees what `news` finds to be new in the outcome. */
  #hooked<T>(
    make: (transaction: Transaction) => Promise<T>,
    news: (outcome: T) => Upload | null,
  ): Promise<T> {
    return this.#queue.run(() =>
      this.#database.transaction(async (transaction) => {
        const outcome = await make(transaction)
        const upload = news(outcome)
        if (upload === null) return outcome
        await this.#onUploadRow?.(transaction.knex, upload)
        // A hook that swallows the error of a statement leaves a transaction whose COMMIT undoes all and says nothing.
        await transaction.rows('still_there', 'select 1')
        return outcome
      }),
    )
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
