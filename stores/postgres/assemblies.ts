import { randomUUID } from 'node:crypto'
import type { Blob } from '../../src/upload/blob.js'
import type { Assembly } from '../../src/upload/ports.js'
import type { Upload, UploadId } from '../../src/upload/upload.js'
import { type Database, ORPHANED } from './database.js'
import type { NodeLease } from './node-lease.js'
import { type ExtentRow, toExtent, toUpload, type UploadRow } from './rows.js'

export interface FinishedAssembly {
  readonly upload: Upload
  readonly unreferenced: readonly Blob[]
}

/** Finals that wait to become one blob, or are becoming it. */
export class Assemblies {
  readonly #database: Database
  readonly #lease: NodeLease
  /** Targets of the assemblies under way here. */
  readonly #assembling = new Set<string>()

  constructor(database: Database, lease: NodeLease) {
    this.#database = database
    this.#lease = lease
  }

  async take(id: UploadId | undefined, shared: boolean): Promise<Assembly | null> {
    const answer = await this.#database.value<{
      upload_id: string
      length: number
      copied: number
      target: Blob
      extents: ExtentRow[]
    } | null>('take_assembly', `select ${this.#database.s}.take_assembly(?, ?, ?, ?) as value`, [
      id ?? null,
      this.#lease.epoch,
      randomUUID(),
      shared,
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

  async progress(assembly: Assembly, copied: number): Promise<boolean> {
    const { s } = this.#database
    const ours = await this.#database.rows(
      'assembly_progress',
      `update ${s}.assemblies set copied = ? where upload_id = ? and target = ? and epoch = ? returning upload_id`,
      [copied, assembly.uploadId, assembly.target.id, this.#lease.epoch],
    )
    return ours.length > 0
  }

  /** Not forgotten where that fails: it must not be an orphan's while this is tried again. `abandon` ends it then. */
  async finish(assembly: Assembly): Promise<{ upload: Upload; unreferenced: readonly Blob[] } | null> {
    const answer = await this.#database.value<{ upload: UploadRow; unreferenced: Blob[] } | null>(
      'finish_assembly',
      `select ${this.#database.s}.finish_assembly(?, ?, ?) as value`,
      [assembly.uploadId, this.#lease.epoch, assembly.target.id],
    )
    this.#assembling.delete(assembly.target.id)
    return answer && { upload: toUpload(answer.upload), unreferenced: answer.unreferenced }
  }

  /** Forgotten first: who abandons it writes no more, and what cannot be given back now is an orphan. */
  async abandon(assembly: Assembly): Promise<void> {
    const { s } = this.#database
    this.#assembling.delete(assembly.target.id)
    await this.#database.rows(
      'abandon_assembly',
      `update ${s}.assemblies set epoch = null, due_at = clock_timestamp() + interval '30 seconds'
       where upload_id = ? and target = ? and epoch = ?`,
      [assembly.uploadId, assembly.target.id, this.#lease.epoch],
    )
  }

  /** Gives back assemblies of this node that nobody here works on: an answer was lost, or they could not be given back. */
  async dropOrphans(): Promise<void> {
    await this.#database.rows(
      'orphan_assemblies',
      `update ${this.#database.s}.assemblies set epoch = null, due_at = clock_timestamp()
       where epoch = ? and taken_at < clock_timestamp() - interval '${ORPHANED}' and target <> all(?::uuid[])`,
      [this.#lease.epoch, [...this.#assembling]],
    )
  }
}
