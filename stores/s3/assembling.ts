import { Readable } from 'node:stream'
import { patiently } from '../../src/upload/patience.js'
import type { AssembleOptions } from '../../src/upload/ports.js'
import type { Segment } from '../../src/upload/segment.js'
import { again } from './again.js'
import type { Confirmed } from './bucket.js'
import { bytesOf } from './bytes.js'
import { gridParts } from './part-grid.js'
import { isCopyable, type Placed, type PlannedPart, planned, type Source } from './part-plan.js'
import { objectBytes } from './read.js'
import { isAbsent, isRefusal } from './storage-error.js'
import { keyOf, type Storeroom } from './storeroom.js'

/** Copies made at a time: they cost this process nothing. */
const COPIES = 6
/** Parts that pass through this process at a time: they cost memory. */
const PASSES = 2
/** What passes through this process is held whole up to here, so that it can be sent again; more flows through it. */
const HELD_BYTES = 16 * 1024 * 1024
const REPORT_MS = 1_000

type Options = Pick<AssembleOptions, 'signal' | 'onCopied'>

/** What `onCopied` threw is the caller's own, and no failure of the storage. */
export class Reported extends Error {}

/** One run of an assembler over the parts of a segment that are missing. */
export class Assembling {
  readonly #room: Storeroom
  readonly #segment: Segment
  readonly #total: number
  readonly #options: Options
  readonly #parts: readonly PlannedPart[]
  readonly #made = new Set<number>()
  #reportedAt = performance.now()
  #reporting: Promise<void> = Promise.resolve()
  #failure: Error | null = null
  #isWanted = true

  constructor(
    room: Storeroom,
    segment: Segment,
    content: { readonly runs: readonly Placed[]; readonly total: number },
    options: Options,
  ) {
    this.#room = room
    this.#segment = segment
    this.#total = content.total
    this.#options = options
    this.#parts = planned(gridParts(content.total, segment.partBytes ?? content.total), content.runs)
  }

  async run(): Promise<'done' | 'stopped'> {
    for (const { number } of await this.#room.ledger.parts(this.#segment.id)) this.#made.add(number)
    const missing = this.#parts.filter(({ number }) => !this.#made.has(number))
    const isCopied = (part: PlannedPart) => isCopyable(part, this.#total)
    await this.#makeAll(missing.filter(isCopied), COPIES)
    await this.#makeAll(
      missing.filter((part) => !isCopied(part)),
      PASSES,
    )
    await this.#reporting
    if (this.#failure !== null) throw this.#failure
    return this.#isOver ? 'stopped' : 'done'
  }

  get #isOver(): boolean {
    return this.#failure !== null || !this.#isWanted || this.#options.signal?.aborted === true
  }

  async #makeAll(parts: readonly PlannedPart[], lanes: number): Promise<void> {
    const waiting = parts.values()
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

  async #make(part: PlannedPart): Promise<void> {
    const confirmed = await this.#put(part)
    const row = { number: part.number, bytes: part.stop - part.start, ...confirmed }
    if (await patiently(() => this.#room.ledger.addPart(this.#segment.id, row))) this.#made.add(part.number)
    else this.#isWanted = false
    this.#report()
  }

  async #put(part: PlannedPart): Promise<Confirmed> {
    const { bucket } = this.#room
    const [source] = part.sources
    if (source === undefined || !bucket.copies || !isCopyable(part, this.#total)) return this.#pass(part)
    try {
      return await bucket.copyPart(this.#key, this.#uploadId, part.number, source, source.whole)
    } catch (error) {
      // Gone is gone; but what a provider will not copy it may take.
      if (isAbsent(error) || (bucket.copies && !isRefusal(error))) throw error
      return this.#pass(part)
    }
  }

  /** Through this process. */
  async #pass({ number, start, stop, sources }: PlannedPart): Promise<Confirmed> {
    const { bucket } = this.#room
    const bytes = stop - start
    if (bytes <= HELD_BYTES) {
      const held: Buffer[] = []
      for await (const piece of contentOf(this.#room, sources)) held.push(piece)
      return bucket.putPart(this.#key, this.#uploadId, number, bytesOf(held))
    }
    return again(async () => {
      const broken = new AbortController()
      const stream = Readable.from(contentOf(this.#room, sources), { objectMode: false })
      stream.on('error', (error) => broken.abort(error))
      try {
        const flow = { stream, bytes, signal: broken.signal }
        return await bucket.flowPart(this.#key, this.#uploadId, number, flow)
      } catch (error) {
        throw broken.signal.aborted ? broken.signal.reason : error
      } finally {
        stream.destroy()
      }
    })
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
    let copied = 0
    for (const { number, stop } of this.#parts) {
      if (!this.#made.has(number)) break
      copied = stop
    }
    return copied
  }

  get #key(): string {
    return keyOf(this.#room, this.#segment)
  }

  get #uploadId(): string {
    return this.#segment.uploadId ?? ''
  }
}

async function* contentOf(room: Storeroom, sources: readonly Source[]): AsyncGenerator<Buffer> {
  for (const source of sources) yield* objectBytes(room, source)
}
