import type { Readable } from 'node:stream'
import type { Blob, Extent } from './blob.js'
import type { Subject } from './segment.js'

export interface WriteOptions {
  /** Most bytes to take from the source. One byte more ends the write with `ended: 'limit'`. */
  readonly limit: number
  /** True: the blob's file is made if it is missing (several writers may say so at once); false: it must exist. */
  readonly fresh: boolean
  /** Ends the write early; what arrived is kept. */
  readonly signal?: AbortSignal
  /** Of what upload the bytes are, where no row says that yet. Stores whose blobs say nothing of themselves need none. */
  readonly subject?: Subject
  /** Sees every byte once, in order, before it is stored. */
  readonly observe?: (bytes: Buffer) => void
  /**
   * Called after bytes were handed to the operating system, with the count so far; the store takes no more bytes
   * until a returned promise settles.
   */
  readonly onStored?: (stored: number) => void | Promise<void>
}

/**
 * `end`: the source ended. `cut`: the source failed or was destroyed (a client that left). `aborted`: the signal.
 * `limit`: the source had more than `limit` bytes. `failed`: the store could not go on (`error` says why).
 * In every case the first `stored` bytes are kept, and durable when the store's durability says so.
 */
export interface WriteResult {
  readonly stored: number
  readonly ended: 'end' | 'cut' | 'aborted' | 'limit' | 'failed'
  readonly error?: Error
}

/** A write under way. */
export interface BlobWrite {
  /** Settles when nothing more will be written by this call: no late byte reaches the blob afterwards. Never rejects. */
  readonly done: Promise<WriteResult>
  /** Makes what was stored so far durable, and says how many bytes that are. Rejects when the store fails to. */
  durable(): Promise<number>
}

/** What a byte store may have besides, where each blob is a file that any thread of this process can read. */
export interface LocalFiles {
  /** Path of the blob's file, whether it is there or not. Byte n of the blob is byte n of the file. */
  pathOf(blob: Blob): string
}

/** What a byte store may have besides, that only appends to blobs. */
export interface AppendOnly {
  /** Whether the next byte of a blob can go to `position`. Throws like `ByteStore`. */
  canAppend(blob: Blob, position: number): Promise<boolean>
}

/**
 * What a byte store may have besides, where one blob may lie in several places until it is assembled, and assemblers make the same of a
 * target however many of them work on it.
 */
export interface SharedTargets {
  readonly sharesTargets: true
}

export interface AssembleOptions {
  /** Bytes of the target, from its beginning, that were reported before. */
  readonly copied: number
  readonly fresh: boolean
  readonly signal?: AbortSignal
  /** Hears durable totals; the store stops when it answers false. */
  readonly onCopied: (copied: number) => Promise<boolean>
}

/**
 * Bytes by blob. Knows nothing of owners, HTTP or protocols. Errors: `storage_full`, `storage_failed`, `blob_gone`.
 */
export interface ByteStore {
  /** Writes what the source yields into the blob from `position` on. A short source is no error. */
  write(blob: Blob, position: number, source: Readable, options: WriteOptions): BlobWrite
  /** Bytes `[start, stop)`. Fails with `blob_gone` when the blob is no longer there. */
  read(blob: Blob, start: number, stop: number): Readable
  /** Removes the bytes; absence is no error. Durable when it resolves. */
  remove(blob: Blob): Promise<void>
  /**
   * Whether a blob that had bytes is surely gone while the store itself is there. False in any doubt: a disk that is not
   * mounted must never look like lost bytes. Rejects with a coded error where the store cannot be asked.
   */
  isLost(blob: Blob): Promise<boolean>
  /**
   * Copies extents, in order, into `target`, going on at byte `copied`. Calls `onCopied` with durable totals; stops
   * when it answers false.
   */
  assemble(target: Blob, extents: readonly Extent[], options: AssembleOptions): Promise<'done' | 'stopped'>
  /** Removes files of a dead epoch that have no row. Returns how many. */
  sweepEpoch(epoch: number, known: (ids: readonly string[]) => Promise<ReadonlySet<string>>): Promise<number>
  /** Whether bytes can be stored now; rejects with a coded error otherwise. */
  check(): Promise<void>
}
