import { randomUUID } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'
import type { Blob, Extent } from '../../src/upload/blob.js'
import type {
  AssembleOptions,
  BlobWrite,
  ByteStore,
  SharedTargets,
  WriteOptions,
} from '../../src/upload/ports.js'
import type { SegmentLedger, Subject } from '../../src/upload/segment.js'
import { checkPosition, checkRange } from '../source/positions.js'
import { assemble } from './assemble.js'
import { S3BlobWrite } from './blob-write.js'
import { Blocks } from './blocks.js'
import { type ObjectHeaders, S3Bucket } from './bucket.js'
import { layOut } from './pieces.js'
import { readBlob } from './read.js'
import { removeSegments } from './remove.js'
import { storageError } from './storage-error.js'
import { keyOf, type Storeroom } from './storeroom.js'
import { sweepEpoch } from './sweep-epoch.js'
import { WaitingBytes } from './waiting-bytes.js'

export interface S3ByteStoreOptions {
  /** Ended with the store. */
  readonly client: S3Client
  readonly bucket: string
  /**
   * Before every key, such as `tributary/`, followed by the deployment's id; nothing outside is listed, written or removed.
   */
  readonly prefix: string
  /** Where it is kept which bytes lie where. */
  readonly ledger: SegmentLedger
  /** The epoch under which this process writes at this moment. */
  readonly epoch: () => number
  /** What objects say of the upload that they hold bytes of. Default: nothing. */
  readonly headersOf?: (subject: Subject) => ObjectHeaders
  /** Most parts of a multipart upload. Default 10,000, S3's own limit. */
  readonly maxParts?: number
  /** Most bytes of all writes in memory. Default 64 MiB. */
  readonly waitingBytes?: number
}

const MIB = 1024 * 1024
/** Measured with 16 uploads at once: the process has 220 MiB. */
const WAITING_BYTES = 64 * MIB
const MOST_PARTS = 10_000

/**
 * Blobs as segments, each an object of S3: `<prefix><deployment>/<epoch of the writer>/<blob>/<segment>`. What a writer sends within one request is one
 * segment, so that nothing that is there is ever written again, and a writer who comes late harms nobody.
 */
export class S3ByteStore implements ByteStore, SharedTargets {
  /** The grid and the bytes of its parts follow from the extents, and parts count by their rows. */
  readonly sharesTargets = true
  readonly #room: Storeroom
  #prefix: string

  constructor(options: S3ByteStoreOptions) {
    this.#prefix = options.prefix
    const waitingBytes = options.waitingBytes ?? WAITING_BYTES
    this.#room = {
      bucket: new S3Bucket(options.client, options.bucket),
      ledger: options.ledger,
      waiting: new WaitingBytes(waitingBytes),
      blocks: new Blocks(waitingBytes),
      epoch: options.epoch,
      headersOf: options.headersOf ?? (() => ({})),
      prefix: () => this.#prefix,
      maxParts: options.maxParts ?? MOST_PARTS,
    }
  }

  /** Once, before anything else. Proves that objects can be put and removed, and finds out what the provider can. */
  async open(): Promise<void> {
    this.#prefix += `${await this.#room.ledger.deployment()}/`
    try {
      await this.#room.bucket.probe(`${this.#prefix}probe-${randomUUID()}`)
    } catch (error) {
      throw storageError(error)
    }
  }

  write(blob: Blob, position: number, source: Readable, options: WriteOptions): BlobWrite {
    checkPosition(position)
    return new S3BlobWrite(this.#room, { blob, position }, source, options)
  }

  read(blob: Blob, start: number, stop: number): Readable {
    checkRange(start, stop)
    return readBlob(this.#room, blob, start, stop)
  }

  async remove(blob: Blob): Promise<void> {
    try {
      await removeSegments(this.#room, await this.#room.ledger.all(blob))
    } catch (error) {
      throw storageError(error)
    }
  }

  /** Only where the bucket itself answers that an object is not in it, of one that counts. */
  async isLost(blob: Blob): Promise<boolean> {
    const { bucket, ledger } = this.#room
    try {
      await bucket.check()
      const segments = await ledger.within(blob, 0, Number.MAX_SAFE_INTEGER)
      const sealed = segments.filter(({ state }) => state === 'sealed')
      const { pieces } = layOut(sealed, 0, Number.MAX_SAFE_INTEGER)
      for (const segment of new Set(pieces.map((piece) => piece.segment)))
        if ((await bucket.size(keyOf(this.#room, segment))) === null) return true
      return false
    } catch (error) {
      throw storageError(error)
    }
  }

  assemble(target: Blob, extents: readonly Extent[], options: AssembleOptions): Promise<'done' | 'stopped'> {
    return assemble(this.#room, target, extents, options)
  }

  async sweepEpoch(
    epoch: number,
    known: (ids: readonly string[]) => Promise<ReadonlySet<string>>,
  ): Promise<number> {
    try {
      return await sweepEpoch(this.#room, epoch, known)
    } catch (error) {
      throw storageError(error)
    }
  }

  async check(): Promise<void> {
    try {
      await this.#room.bucket.check()
    } catch (error) {
      throw storageError(error)
    }
  }

  close(): void {
    this.#room.bucket.close()
  }
}
