import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Blob } from '../../../src/upload/blob.js'
import type { ByteStore, WriteOptions, WriteResult } from '../../../src/upload/ports.js'
import { collect } from '../../support/sources.js'

export const MIB = 1024 * 1024
export const NO_LIMIT = Number.MAX_SAFE_INTEGER

export interface StoreUnderTest {
  readonly store: ByteStore
  /** Takes a blob's bytes away behind the back of the store. */
  lose(blob: Blob): Promise<void>
  /** Has the store write under an epoch from here on, where it cares. Blobs that a test makes are of epoch 1, unless it says so. */
  under?(epoch: number): void
  close(): Promise<void>
}

export function newBlob(epoch = 1): Blob {
  return { id: randomUUID(), epoch }
}

/** The store of the test that runs, and the shortest ways in and out of it. */
export class Fixture {
  readonly #make: () => Promise<StoreUnderTest>
  #made: StoreUnderTest | null = null

  constructor(make: () => Promise<StoreUnderTest>) {
    this.#make = make
  }

  async begin(): Promise<void> {
    this.#made = await this.#make()
  }

  async end(): Promise<void> {
    await this.#made?.close()
    this.#made = null
  }

  get store(): ByteStore {
    return this.#open.store
  }

  lose(blob: Blob): Promise<void> {
    return this.#open.lose(blob)
  }

  under(epoch: number): void {
    this.#open.under?.(epoch)
  }

  /** Writes all of `bytes` at `position`; at 0 into a fresh blob, unless told otherwise. */
  put(blob: Blob, bytes: Buffer, options: Partial<WriteOptions> = {}, position = 0): Promise<WriteResult> {
    const source = Readable.from([bytes])
    return this.store.write(blob, position, source, { limit: NO_LIMIT, fresh: position === 0, ...options })
      .done
  }

  get(blob: Blob, start: number, stop: number): Promise<Buffer> {
    return collect(this.store.read(blob, start, stop))
  }

  get #open(): StoreUnderTest {
    if (this.#made === null) throw new Error('There is a store only while a test runs.')
    return this.#made
  }
}

/** Follows `onStored`, and lets a test wait for a total. */
export class StoredBytes {
  #total = 0
  #waiting: { readonly total: number; readonly resolve: () => void }[] = []

  readonly saw = (total: number): void => {
    this.#total = total
    for (const one of this.#waiting) if (one.total <= total) one.resolve()
  }

  async reach(total: number): Promise<void> {
    if (this.#total >= total) return
    await new Promise<void>((resolve) => this.#waiting.push({ total, resolve }))
  }
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Waits until a count has not changed for many turns of the event loop. */
export async function comesToRest(count: () => number): Promise<void> {
  let last = count()
  for (let same = 0; same < 50; same++) {
    await nextTurn()
    if (count() !== last) same = 0
    last = count()
  }
}
