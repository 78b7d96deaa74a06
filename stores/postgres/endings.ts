import type { Blob } from '../../src/upload/blob.js'
import { expired, notFinished, notFound } from '../../src/upload/errors.js'
import type { CompleteOutcome, CompleteRequest, Expired, Terminated } from '../../src/upload/ports.js'
import type { UploadId } from '../../src/upload/upload.js'
import { wrongProtocol } from './claim-answer.js'
import type { Database } from './database.js'
import type { NodeLease } from './node-lease.js'
import type { Publications } from './publications.js'
import { type PublicationRow, toPublication, toUpload, type UploadRow } from './rows.js'

type CompleteAnswer =
  | { readonly outcome: 'complete'; readonly first: boolean; readonly upload: UploadRow }
  | { readonly outcome: 'changed' | 'unknown' | 'expired' | 'gaps' }
  | { readonly outcome: 'protocol'; readonly protocol: string }

/** How uploads end: complete, removed, or out of time. */
export class Endings {
  readonly #database: Database
  readonly #lease: NodeLease
  readonly #publications: Publications

  constructor(database: Database, lease: NodeLease, publications: Publications) {
    this.#database = database
    this.#lease = lease
    this.#publications = publications
  }

  async complete(request: CompleteRequest): Promise<CompleteOutcome> {
    const { s, channel } = this.#database
    const answer = await this.#database.value<CompleteAnswer>(
      'complete',
      `select ${s}.complete_chunks(?, ?, ?, ?, ?, ?, ?, ?, ?) as value`,
      [
        channel,
        request.id,
        request.owner,
        request.protocol,
        request.digest?.algorithm ?? null,
        request.digest?.bytes ?? null,
        request.token,
        request.publishAs,
        this.#lease.epoch,
      ],
    )
    switch (answer.outcome) {
      case 'changed':
        return { outcome: 'changed' }
      case 'unknown':
        throw notFound()
      case 'expired':
        throw expired()
      case 'protocol':
        throw wrongProtocol(answer.protocol)
      case 'gaps':
        throw notFinished()
      case 'complete':
        if (answer.first && request.publishAs !== null) this.#publications.taken(request.id)
        return { outcome: 'complete', upload: toUpload(answer.upload), first: answer.first }
    }
  }

  async terminate(id: UploadId, owner: string | null): Promise<Terminated | null> {
    const { s, channel } = this.#database
    const answer = await this.#database.value<{
      readonly upload: UploadRow
      readonly finals: readonly UploadRow[]
      readonly unreferenced: readonly Blob[]
      readonly published: PublicationRow | null
    } | null>('terminate', `select ${s}.terminate(?, ?, ?) as value`, [channel, id, owner])
    return (
      answer && {
        upload: toUpload(answer.upload),
        expiredFinals: answer.finals.map(toUpload),
        unreferenced: answer.unreferenced,
        published: answer.published && toPublication(answer.published),
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
}
