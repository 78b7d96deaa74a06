import { EventEmitter } from 'node:events'
import type { Upload, UploadId, UploadStatus } from '../../../src/upload/upload.js'
import {
  type BlobRow,
  type ClaimRow,
  type EpochRow,
  type PublicationRow,
  prefixEnd,
  type UploadRow,
} from './rows.js'

/** The rows, the clock and the notifications that all nodes of one database share. */
export class Tables {
  readonly uploads = new Map<UploadId, UploadRow>()
  readonly blobs = new Map<string, BlobRow>()
  readonly claims = new Map<number, ClaimRow>()
  readonly epochs = new Map<number, EpochRow>()
  readonly publications = new Map<UploadId, PublicationRow>()
  /** Publications whose files are being placed at this moment: whoever ends one of these uploads waits. */
  readonly placing = new Map<UploadId, Promise<void>>()
  /** By filename: the end of the last publishing that was begun. */
  readonly publishing = new Map<string, Promise<void>>()
  readonly signals = new EventEmitter<{
    yield: [id: UploadId, token?: number]
    handedBack: [id: UploadId]
    digestWanted: [id: UploadId]
  }>().setMaxListeners(0)
  readonly now: () => number
  /** Whether the database answers nobody. */
  away = false
  #serial = 0

  constructor(now: () => number) {
    this.now = now
  }

  serial(): number {
    this.#serial += 1
    return this.#serial
  }

  /** An upload of another owner does not exist. */
  owned(id: UploadId, owner: string | null): UploadRow | null {
    const row = this.uploads.get(id)
    return row !== undefined && row.owner === owner ? row : null
  }

  living(epoch: number): boolean {
    const row = this.epochs.get(epoch)
    return row !== undefined && !row.retired && row.leaseUntil > this.now()
  }

  /** Proved dead, or stopped in order: it surely writes no more. */
  writesNoMore(epoch: number): boolean {
    return this.epochs.get(epoch)?.leaseUntil === -Infinity
  }

  claimsOn(id: UploadId): ClaimRow[] {
    return [...this.claims.values()].filter((claim) => claim.uploadId === id)
  }

  held(id: UploadId): boolean {
    return this.claimsOn(id).some((claim) => this.living(claim.epoch))
  }

  /** In id order, as locks on them are taken. */
  waitingFinals(part: UploadId): UploadRow[] {
    return [...this.uploads.values()]
      .filter((row) => row.kind === 'final' && row.status === 'in_progress')
      .filter((row) => row.parts?.some(({ id }) => id === part))
      .sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** What the clock says, whether or not a sweep was there. */
  statusOf(row: UploadRow): UploadStatus {
    if (row.status === 'expired' || row.expiresAt === null || row.expiresAt > this.now()) return row.status
    if (this.held(row.id)) return row.status
    const wanted = row.status === 'complete' && this.waitingFinals(row.id).length > 0
    return wanted ? row.status : 'expired'
  }

  offsetOf(row: UploadRow): number {
    if (row.status === 'complete') return row.length ?? 0
    return row.kind === 'final' ? 0 : prefixEnd(row.received)
  }

  lengthOf(row: UploadRow): number | null {
    if (row.kind !== 'final' || row.status !== 'in_progress') return row.length
    const lengths = (row.parts ?? []).map(({ id }) => this.uploads.get(id)?.length ?? null)
    return lengths.reduce<number | null>(
      (sum, each) => (sum === null || each === null ? null : sum + each),
      0,
    )
  }

  view(row: UploadRow): Upload {
    return {
      id: row.id,
      owner: row.owner,
      kind: row.kind,
      protocol: row.protocol,
      length: this.lengthOf(row),
      offset: this.offsetOf(row),
      metadata: row.metadata,
      filename: row.filename,
      status: this.statusOf(row),
      digest: row.digest,
      createdAt: new Date(row.createdAt),
      completedAt: row.completedAt === null ? null : new Date(row.completedAt),
      expiresAt: row.expiresAt === null ? null : new Date(row.expiresAt),
      partNames: row.parts?.map(({ name }) => name) ?? null,
    }
  }
}
