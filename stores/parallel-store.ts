import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { DataStore, type Upload as StockUpload } from '@tus/utils'
import { actingOwner } from '../src/upload/acting-owner.js'
import { type ByteRange, byteRange } from '../src/upload/byte-range.js'
import { create } from '../src/upload/create.js'
import type { Engine } from '../src/upload/engine.js'
import { notFound, UploadError } from '../src/upload/errors.js'
import type { UploadEvents } from '../src/upload/events.js'
import { inspect } from '../src/upload/inspect.js'
import { type Received, receive } from '../src/upload/receive.js'
import { sweep } from '../src/upload/sweep.js'
import { terminate } from '../src/upload/terminate.js'
import { isUploadId, type Upload } from '../src/upload/upload.js'
import { finishedContent } from './parallel/finished-content.js'
import { InheritedUploads } from './parallel/inherited.js'
import { quietEnd } from './parallel/quiet-end.js'
import { closing, inStockTerms, inTermsOfHead } from './parallel/stock-error.js'
import { idFor, toDraft, toStockUpload } from './parallel/stock-upload.js'

export interface ParallelStoreOptions {
  /** Registry, bytes and policy; made by whoever composes the parts, or by `openParallelStore`. */
  readonly engine: Engine
  /** How long an upload may rest before it expires, in ms; null: for ever. The same as the registry was opened with. */
  readonly expiration: number | null
  /**
   * A stock store used before. An id the registry does not know is looked up there, so that uploads made before the
   * switch keep their URLs and can be finished, downloaded and deleted without moving a file. They have no owner,
   * are not expired by us, and cannot be parts of parallel uploads. Default: none.
   */
  readonly inherited?: DataStore
}

/** What works with the handlers of @tus/server as they are; `extendServer` adds the rest. */
const STOCK_EXTENSIONS = ['creation', 'creation-with-upload', 'creation-defer-length', 'termination']

/**
 * A store for `new Server({ path, datastore })` of @tus/server. With its handlers as they are it behaves as any stock
 * store, but for the registry behind it: uploads survive `kill -9`, several servers may serve them, and every write
 * claims what it writes. `extendServer(server)` adds parallel uploads, checksums and owners.
 *
 * - Ids are UUID v4. Where `namingFunction` gives another form, as the default one does, `create` puts its own into
 *   `upload.id`: hooks that run before it (`onIncomingRequest` of POST, `onUploadCreate`) saw another id then.
 * - `creation_date` of an unfinished upload is its expiry minus `getExpiration()`, of a finished one undefined, because
 *   stock handlers answer 410 by that date.
 * - An upload has no `storage`: its bytes may lie in several places. `read` gives them.
 * - An id alone means an upload of the anonymous owner; in an extended server's hooks `onIncomingRequest`,
 *   `onUploadCreate` and `onUploadFinish`, and in its listeners to POST_CREATE and POST_FINISH, one of the owner
 *   the request speaks for. `find`, `contentOf` and `terminate` are for uploads of any owner.
 *
 * Every method fails with a `ParallelStoreError`: `status_code` 404 for unknown ids, 410 expired, 409 wrong offset or
 * a claim lost to another server, 413 too large, 423 another request is writing, 507 storage full, 503 database away.
 */
export class ParallelStore extends DataStore {
  readonly engine: Engine
  readonly #expiration: number | null
  readonly #inherited: InheritedUploads | null
  readonly #closing = new AbortController()
  readonly #writing = new Set<Promise<unknown>>()

  constructor({ engine, expiration, inherited }: ParallelStoreOptions) {
    super()
    this.engine = engine
    this.#expiration = expiration
    this.#inherited = inherited ? new InheritedUploads(inherited, expiration) : null
    this.extensions = [...STOCK_EXTENSIONS, ...(expiration === null ? [] : ['expiration'])]
  }

  /** Tells what happens to uploads, after it is committed. */
  get events(): UploadEvents {
    return this.engine.events
  }

  /** Records the upload, and puts its id and date into the object given, which is returned. */
  override async create(upload: StockUpload): Promise<StockUpload> {
    return inStockTerms(this.engine.log, async () => {
      const made = await create(this.engine, toDraft(upload, idFor(upload, randomUUID), actingOwner()))
      upload.id = made.id
      upload.creation_date = toStockUpload(made, this.#expiration).creation_date
      return upload
    })
  }

  /**
   * The upload with the offset the next write must carry. A request that still writes to it is asked to stop, and
   * waited for, up to 8 s.
   */
  override async getUpload(id: string): Promise<StockUpload> {
    return inTermsOfHead(this.engine.log, async () => {
      const owner = actingOwner()
      if (await this.#inherits(id, owner)) return this.#old.find(id)
      return toStockUpload(await inspect(this.engine, known(id), owner), this.#expiration)
    })
  }

  /**
   * Appends what the stream yields and resolves with the new offset. A stream that breaks is no error: what arrived is
   * kept.
   */
  override async write(stream: Readable, id: string, offset: number): Promise<number> {
    return inStockTerms(this.engine.log, async () => {
      const owner = actingOwner()
      if (await this.#inherits(id, owner)) return this.#old.write(stream, id, offset)
      const { stored } = await this.#receive({ id: known(id), owner }, offset, stream, null)
      return offset + stored
    })
  }

  /** Fixes the length of an upload created without one. One that already has that many bytes is complete then. */
  override async declareUploadLength(id: string, length: number): Promise<void> {
    await inStockTerms(this.engine.log, async () => {
      const owner = actingOwner()
      if (await this.#inherits(id, owner)) return this.#old.declareLength(id, length)
      const upload = await inspect(this.engine, known(id), owner)
      if (upload.length === length) return
      if (upload.length !== null) throw lengthStays(upload.length, length)
      // A claim declares it, and an empty write completes the upload if it has that many bytes already.
      await this.#receive(upload, upload.offset, Readable.from([]), length)
    })
  }

  /** The bytes of a finished upload. Rejects as for an unknown id while it is not finished. */
  async read(id: string): Promise<Readable> {
    const opened = await inStockTerms(this.engine.log, async () => {
      const owner = actingOwner()
      if (await this.#inherits(id, owner)) return this.#old.read(id)
      return finishedContent(this.engine, { id: known(id), owner })
    })
    return quietEnd(opened)
  }

  /** Removes an upload, finished or not. Whoever writes to it is stopped. */
  override async remove(id: string): Promise<void> {
    await inStockTerms(this.engine.log, async () => {
      const owner = actingOwner()
      if (await this.#inherits(id, owner)) return this.#old.remove(id)
      await terminate(this.engine, known(id), owner)
    })
  }

  /**
   * For code of the server itself, as the two below: what is known about an upload of any owner. Stops nobody who
   * writes to it. Null when there is none, and for an inherited one.
   */
  async find(id: string, owner: string | null): Promise<Upload | null> {
    if (!isUploadId(id)) return null
    return inStockTerms(
      this.engine.log,
      async () => (await this.engine.registry.find(id, owner))?.upload ?? null,
    )
  }

  /**
   * The bytes of a finished upload of any owner, such as events tell of, or what a range has of them. Rejects
   * as `read` does while it is not finished, and with a RangeError for what is no range.
   */
  async contentOf(upload: Pick<Upload, 'id' | 'owner'>, range?: ByteRange): Promise<Readable> {
    const { id, owner } = upload
    const part = range && byteRange(range.start, range.stop)
    return quietEnd(
      await inStockTerms(this.engine.log, () => finishedContent(this.engine, { id: known(id), owner }, part)),
    )
  }

  /** Removes an upload of any owner, as `remove` does. */
  async terminate({ id, owner }: Pick<Upload, 'id' | 'owner'>): Promise<void> {
    await inStockTerms(this.engine.log, () => terminate(this.engine, known(id), owner))
  }

  /**
   * Ends what is due and finishes what crashes left, as any node does in the background. Resolves with the number of
   * uploads expired. Inherited uploads are left alone: FileStore's own cleaning takes finished ones for unfinished.
   */
  override async deleteExpired(): Promise<number> {
    return inStockTerms(this.engine.log, async () => (await sweep(this.engine)).expired)
  }

  /** In ms after the last recorded byte; 0: never. */
  override getExpiration(): number {
    return this.#expiration ?? 0
  }

  /**
   * Whether requests for this id belong to the `inherited` store, and to the handlers of @tus/server as they are: the
   * registry does not know it for the anonymous owner, and that store answers for it. `extendServer` asks this first.
   */
  async inherits(id: string): Promise<boolean> {
    return this.#inherits(id, null)
  }

  /** Ends running writes at a recorded offset and refuses new ones; resolves when none runs. */
  async drain(): Promise<void> {
    this.#closing.abort(closing())
    await Promise.allSettled(this.#writing)
  }

  get #old(): InheritedUploads {
    if (this.#inherited === null) throw new TypeError('This store has not inherited another one.')
    return this.#inherited
  }

  async #inherits(id: string, owner: string | null): Promise<boolean> {
    if (this.#inherited === null) return false
    if (isUploadId(id) && (await this.engine.registry.find(id, owner)) !== null) return false
    return this.#inherited.has(id)
  }

  async #receive(
    { id, owner }: Pick<Upload, 'id' | 'owner'>,
    start: number,
    source: Readable,
    length: number | null,
  ): Promise<Received> {
    if (this.#closing.signal.aborted) throw closing()
    const receiving = receive(this.engine, {
      id,
      owner,
      protocol: 'tus',
      start,
      declaredLength: length,
      source,
      announced: null,
      expected: null,
      maxSize: this.engine.policy.maxSize,
      signal: this.#closing.signal,
    })
    this.#writing.add(receiving)
    try {
      return await receiving
    } finally {
      this.#writing.delete(receiving)
    }
  }
}

/** What has not the form of our ids is no upload of ours, and never reaches the database. */
function known(id: string): string {
  if (!isUploadId(id)) throw notFound()
  return id
}

function lengthStays(length: number, declared: number): UploadError {
  return new UploadError(
    'length_conflict',
    `The upload has a length of ${length}, which cannot change to ${declared}.`,
  )
}
