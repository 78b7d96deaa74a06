import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Blob, Extent } from '../../src/upload/blob.js'
import { patiently } from '../../src/upload/patience.js'
import type { ByteStore } from '../../src/upload/ports.js'
import type { Segment } from '../../src/upload/segment.js'
import type { Confirmed, ObjectRange } from './bucket.js'
import { bytesOf } from './bytes.js'
import { type GridPart, gridParts, LEAST_PART, partBytesFor } from './part-grid.js'
import { locate, objectBytes, rangeOf } from './read.js'
import { seal } from './seal.js'
import { isUnknown, storageError } from './storage-error.js'
import { keyOf, type Storeroom } from './storeroom.js'

/** Copies made at a time: they cost this process nothing. */
const COPIES = 6
/** Parts that pass through this process at a time: they cost memory. */
const PASSES = 2
/** What passes through this process is held whole up to here, so that it can be sent again; more flows through it. */
const HELD_BYTES = 16 * 1024 * 1024
/** How often a flow is begun again. */
const TRIES = 4
const REPORT_MS = 1_000

type AssembleOptions = Parameters<ByteStore['assemble']>[2]

/**
 * Makes one object of extents: each part of its grid that lies in one object is copied by the provider, only those that span two or more pass
 * through this process. Parts that were made before are not made again, whoever made them.
 */
export async function assemble(
  room: Storeroom,
  target: Blob,
  extents: readonly Extent[],
  options: AssembleOptions,
): Promise<'done' | 'stopped'> {
  const total = checkedLength(extents, options.copied)
  try {
    if (!(await isThere(room, target, total))) {
      const ranges = await rangesOf(room, extents)
      const segment = await begin(room, target, total)
      if ((await new Assembling(room, segment, ranges, total, options).run()) === 'stopped') return 'stopped'
      await seal(room, segment)
    }
  } catch (error) {
    throw error instanceof Reported ? error.cause : storageError(error)
  }
  return (await options.onCopied(total)) ? 'done' : 'stopped'
}

/** What `onCopied` threw is the caller's own, and no failure of the storage. */
class Reported extends Error {}

async function isThere(room: Storeroom, target: Blob, total: number): Promise<boolean> {
  const found = await room.ledger.within(target, 0, total)
  return found.some(({ state, start, stop }) => state === 'sealed' && start === 0 && stop === total)
}

/** The one that somebody began, or a new one, younger than whatever else the target has. */
async function begin(room: Storeroom, target: Blob, total: number): Promise<Segment> {
  const partBytes = partBytesFor(total, room.maxParts)
  const found = await room.ledger.within(target, 0, total)
  const open = found.find((one) => one.state === 'open' && one.start === 0 && one.partBytes === partBytes)
  if (open !== undefined) return open
  const subject = await patiently(() => room.ledger.subject(target))
  const made = { id: randomUUID(), blob: target, writer: room.epoch(), start: 0 }
  const headers = subject === null ? {} : room.headersOf(subject)
  const uploadId = await room.bucket.begin(keyOf(room, made), headers, false)
  const segment = { ...made, stop: null, uploadId, partBytes }
  await patiently(() => room.ledger.add(segment))
  return { ...segment, state: 'open', alive: true }
}

/** A run of the content, which begins at `at`, in an object. */
interface Source extends ObjectRange {
  readonly at: number
}

async function rangesOf(room: Storeroom, extents: readonly Extent[]): Promise<readonly Source[]> {
  const sources: Source[] = []
  for (const { start, stop, blob, blobOffset } of extents) {
    for (const piece of await locate(room, blob, blobOffset, blobOffset + stop - start))
      sources.push({ ...rangeOf(room, piece), at: start + piece.start - blobOffset })
  }
  return sources
}

/** One run of an assembler over the parts that are missing. */
class Assembling {
  readonly #room: Storeroom
  readonly #segment: Segment
  readonly #sources: readonly Source[]
  readonly #total: number
  readonly #options: AssembleOptions
  readonly #made = new Set<number>()
  #reportedAt = performance.now()
  #reporting: Promise<void> = Promise.resolve()
  #failure: Error | null = null
  #isWanted = true

  constructor(
    room: Storeroom,
    segment: Segment,
    sources: readonly Source[],
    total: number,
    options: AssembleOptions,
  ) {
    this.#room = room
    this.#segment = segment
    this.#sources = sources
    this.#total = total
    this.#options = options
  }

  async run(): Promise<'done' | 'stopped'> {
    for (const { number } of await this.#room.ledger.parts(this.#segment.id)) this.#made.add(number)
    const parts = gridParts(this.#total, this.#segment.partBytes ?? this.#total)
    const missing = parts.filter(({ number }) => !this.#made.has(number))
    await this.#makeAll(
      missing.filter((part) => this.#isCopied(part)),
      COPIES,
    )
    await this.#makeAll(
      missing.filter((part) => !this.#isCopied(part)),
      PASSES,
    )
    await this.#reporting
    if (this.#failure !== null) throw this.#failure
    return this.#isOver ? 'stopped' : 'done'
  }

  async #makeAll(parts: readonly GridPart[], lanes: number): Promise<void> {
    const waiting = parts.filter(({ number }) => !this.#made.has(number)).values()
    const lane = async () => {
      for (const part of waiting) {
        if (this.#isOver) return
        await this.#make(part).catch((error: Error) => {
          this.#failure ??= error
        })
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
  }

  /** Whether the provider can make it: of one object, and as long as it asks. */
  #isCopied(part: GridPart): boolean {
    const isLong = part.stop - part.start >= LEAST_PART || part.stop === this.#total
    return this.#room.bucket.copies && isLong && this.#within(part).length === 1
  }

  get #isOver(): boolean {
    return this.#failure !== null || !this.#isWanted || this.#options.signal?.aborted === true
  }

  async #make(part: GridPart): Promise<void> {
    const confirmed = await this.#put(part)
    const row = { number: part.number, bytes: part.stop - part.start, ...confirmed }
    if (await patiently(() => this.#room.ledger.addPart(this.#segment.id, row))) this.#made.add(part.number)
    else this.#isWanted = false
    this.#report()
  }

  /** The runs of the content that a part is made of. */
  #within({ start, stop }: GridPart): readonly ObjectRange[] {
    return this.#sources.flatMap(({ key, at, start: first, stop: last }) => {
      const from = Math.max(start, at)
      const to = Math.min(stop, at + last - first)
      return from < to ? [{ key, start: first + from - at, stop: first + to - at }] : []
    })
  }

  async #put(part: GridPart): Promise<Confirmed> {
    const ranges = this.#within(part)
    const [range] = ranges
    if (range === undefined || !this.#isCopied(part)) return this.#pass(part, ranges)
    try {
      return await this.#room.bucket.copyPart(this.#key, this.#uploadId, part.number, range)
    } catch (error) {
      if (!isUnknown(error)) throw error
      return this.#pass(part, ranges)
    }
  }

  /** Through this process. */
  async #pass({ number, start, stop }: GridPart, ranges: readonly ObjectRange[]): Promise<Confirmed> {
    const { bucket } = this.#room
    const bytes = stop - start
    if (bytes <= HELD_BYTES) {
      const held: Buffer[] = []
      for await (const piece of contentOf(this.#room, ranges)) held.push(piece)
      return bucket.putPart(this.#key, this.#uploadId, number, bytesOf(held))
    }
    for (let left = TRIES; ; ) {
      const broken = new AbortController()
      const stream = Readable.from(contentOf(this.#room, ranges), { objectMode: false })
      stream.on('error', (error) => broken.abort(error))
      try {
        return await bucket.flowPart(this.#key, this.#uploadId, number, {
          stream,
          bytes,
          signal: broken.signal,
        })
      } catch (error) {
        if (--left === 0 || this.#isOver) throw broken.signal.aborted ? broken.signal.reason : error
      } finally {
        stream.destroy()
      }
    }
  }

  /** How far it goes without a gap, once a second. */
  #report(): void {
    if (performance.now() - this.#reportedAt < REPORT_MS) return
    this.#reportedAt = performance.now()
    const copied = this.#copied
    this.#reporting = this.#reporting.then(async () => {
      try {
        if (!(await this.#options.onCopied(copied))) this.#isWanted = false
      } catch (error) {
        this.#failure ??= new Reported('progress could not be told', { cause: error })
      }
    })
  }

  get #copied(): number {
    const partBytes = this.#segment.partBytes ?? this.#total
    let parts = 0
    while (this.#made.has(parts + 1)) parts += 1
    return Math.min(this.#total, parts * partBytes)
  }

  get #key(): string {
    return keyOf(this.#room, this.#segment)
  }

  get #uploadId(): string {
    return this.#segment.uploadId ?? ''
  }
}

async function* contentOf(room: Storeroom, ranges: readonly ObjectRange[]): AsyncGenerator<Buffer> {
  for (const range of ranges) yield* objectBytes(room, range)
}

/** The length of the content; throws a RangeError when it is not `[0, length)` without gaps. */
function checkedLength(extents: readonly Extent[], copied: number): number {
  let length = 0
  for (const { start, stop } of extents) {
    if (start !== length || stop <= start)
      throw new RangeError('The extents of a content must follow each other.')
    length = stop
  }
  if (copied < 0 || copied > length)
    throw new RangeError(`There are ${length} bytes, of which ${copied} cannot be copied.`)
  return length
}
