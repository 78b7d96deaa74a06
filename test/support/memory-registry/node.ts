import type { UploadId } from '../../../src/upload/upload.js'
import type { ClaimRow, Session } from './rows.js'
import type { Tables } from './tables.js'

/** The process side of one registry: its epochs, its heartbeat, and the signals of its running claims. */
export class MemoryNode {
  readonly #db: Tables
  readonly #expirations: { readonly expiration: number; readonly fragoExpiration: number }
  readonly #lease: number
  readonly #yields = new Map<number, { uploadId: UploadId; controller: AbortController }>()
  readonly #onYield = (id: UploadId, token?: number) => this.#yield(id, token)
  readonly #epochs = new Set<number>()
  #epoch: number
  #frozen = false
  #dead = false

  constructor(
    db: Tables,
    expirations: { readonly expiration: number; readonly fragoExpiration: number },
    lease: number,
  ) {
    this.#db = db
    this.#expirations = expirations
    this.#lease = lease
    this.#epoch = this.#newEpoch()
    db.signals.on('yield', this.#onYield)
  }

  /** Whether messages reach it. */
  get hears(): boolean {
    return !this.#frozen && !this.#dead
  }

  get dead(): boolean {
    return this.#dead
  }

  get epoch(): number {
    return this.#epoch
  }

  get session(): Session {
    return { epoch: this.#epoch, epochs: this.#epochs, ...this.#expirations }
  }

  /** For a statement that starts something new: a node that finds its lease lapsed takes a new epoch first. */
  livingSession(): Session {
    if (!this.#db.living(this.#epoch)) this.thaw()
    return this.session
  }

  track(claim: ClaimRow): AbortSignal {
    const controller = new AbortController()
    this.#yields.set(claim.token, { uploadId: claim.uploadId, controller })
    return controller.signal
  }

  /** Tells the writer of a claim that is no longer its own. */
  stop(token: number): void {
    this.#yields.get(token)?.controller.abort()
  }

  untrack(token: number): void {
    this.#yields.delete(token)
  }

  /** The heart stopped long enough for the lease to lapse; the process learns of it when it thaws. */
  lapse(): void {
    this.#frozen = true
    const row = this.#db.epochs.get(this.#epoch)
    if (row) row.leaseUntil = this.#db.now() - 1
  }

  /** It was proved dead, or stopped in order. */
  bury(): void {
    this.#frozen = true
    const row = this.#db.epochs.get(this.#epoch)
    if (row) row.leaseUntil = -Infinity
  }

  /** The heart beats again, too late: a new epoch, and everything begun under the old one is to stop. */
  thaw(): void {
    this.#frozen = false
    if (this.#db.living(this.#epoch)) return
    this.#epoch = this.#newEpoch()
    for (const { controller } of this.#yields.values()) controller.abort()
    this.#yields.clear()
  }

  /** kill -9: its claims live on until the lease ends. */
  die(): void {
    this.#dead = true
    this.#db.signals.off('yield', this.#onYield)
    const row = this.#db.epochs.get(this.#epoch)
    if (row && row.leaseUntil === Infinity) row.leaseUntil = this.#db.now() + this.#lease
  }

  #newEpoch(): number {
    const epoch = this.#db.serial()
    this.#epochs.add(epoch)
    this.#db.epochs.set(epoch, { leaseUntil: Infinity, retired: false, swept: false })
    return epoch
  }

  /** Tells the writers of an upload, or of one claim on it. */
  #yield(id: UploadId, token?: number): void {
    if (this.#frozen) return
    for (const [each, { uploadId, controller }] of this.#yields) {
      if (uploadId === id && (token === undefined || each === token)) controller.abort()
    }
  }
}
