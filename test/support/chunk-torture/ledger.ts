import { KeyedBytes } from '../keyed-bytes.js'
import type { Chunk, Listed } from './frago-client.js'

/** A chunk the server said it has. */
export interface Piece {
  readonly start: number
  readonly stop: number
  /** Which of the versions of the file its bytes are from; several where a request that changes it was not answered. */
  readonly versions: ReadonlySet<number>
}

/** A chunk that was sent, and may or may not have been stored. */
export interface Unanswered {
  readonly start: number
  readonly stop: number
  readonly version: number
}

/** A part of the file that one client at a time is at. */
export interface Region {
  readonly start: number
  readonly stop: number
  busy: boolean
}

/** What clients know of one upload whose bytes they change as they like. */
export class Ledger {
  readonly upload: string
  readonly length: number
  readonly regions: readonly Region[]
  readonly #seed: string
  readonly #pieces = new Map<number, Piece>()
  readonly #versions = new Map<number, KeyedBytes>()
  #unanswered: Unanswered[] = []

  constructor(upload: string, seed: string, length: number, regions: number, random: () => number) {
    this.upload = upload
    this.length = length
    this.#seed = seed
    this.regions = cutsOf(length, regions, random)
  }

  /** In order. */
  get pieces(): readonly Piece[] {
    return [...this.#pieces.values()].sort((a, b) => a.start - b.start)
  }

  get isWhole(): boolean {
    return this.pieces.reduce((sum, { start, stop }) => sum + stop - start, 0) === this.length
  }

  piecesIn({ start, stop }: Region): readonly Piece[] {
    return this.pieces.filter((piece) => piece.start >= start && piece.stop <= stop)
  }

  /** What of a region is not there. */
  gapsIn({ start, stop }: Region): readonly { readonly start: number; readonly stop: number }[] {
    const ends = [...this.piecesIn({ start, stop, busy: false }), { start: stop, stop }]
    return ends
      .map((piece, index) => ({ start: ends[index - 1]?.stop ?? start, stop: piece.start }))
      .filter((gap) => gap.start < gap.stop)
  }

  /** Bytes of a version of the file, one as good as the other. */
  bytes(version: number, start: number, stop: number, size?: number): Iterable<Buffer> {
    const known =
      this.#versions.get(version) ?? new KeyedBytes(`${this.#seed}, version ${version}`, this.length)
    this.#versions.set(version, known)
    return known.pieces(start, stop, size)
  }

  chunk(start: number, stop: number): Chunk {
    return { start, stop, total: this.length }
  }

  /** Keeps in mind that the chunk is sent, until it is answered. */
  send(start: number, stop: number, version: number): Unanswered {
    const sent = { start, stop, version }
    this.#unanswered.push(sent)
    return sent
  }

  /** The chunk is there now; throws where `duplicate` cannot be true. */
  stored(sent: Unanswered, duplicate: boolean): void {
    this.refused(sent)
    const { start, stop, version } = sent
    const before = this.#pieces.get(start)
    const same = before?.stop === stop ? before.versions : new Set<number>()
    if (duplicate && !same.has(version))
      throw new Error(`${describe(sent)} was not there, and is called a duplicate`)
    if (!duplicate && same.size === 1 && same.has(version)) {
      throw new Error(`${describe(sent)} was there, and is not called a duplicate`)
    }
    this.#pieces.set(start, { start, stop, versions: new Set([version]) })
  }

  /** Two were sent at once to one place, and of them these are acknowledged: which came last nobody knows. */
  storedEither(sent: readonly Unanswered[], acknowledged: readonly Unanswered[]): void {
    for (const each of acknowledged) this.refused(each)
    const [first] = acknowledged
    if (first === undefined) return
    const { start, stop } = first
    this.#pieces.set(start, { start, stop, versions: new Set(sent.map(({ version }) => version)) })
  }

  /** The chunk was answered, and changed nothing. */
  refused(sent: Unanswered): void {
    this.#unanswered = this.#unanswered.filter((each) => each !== sent)
  }

  /**
   * Compares with the list of a server that was started after the last one was killed: all that was acknowledged is in
   * it, what was not answered may be, and nothing else is.
   */
  settle({ chunks }: Listed): { readonly late: number } {
    const listed = new Map(chunks.map((chunk) => [chunk.start, chunk]))
    let late = 0
    for (const sent of this.#unanswered) if (this.#settle(sent, listed.get(sent.start)?.stop)) late++
    this.#unanswered = []
    const expected = this.pieces.map(({ start, stop }) => `${start}-${stop}`)
    const found = [...listed.values()]
      .sort((a, b) => a.start - b.start)
      .map(({ start, stop }) => `${start}-${stop}`)
    const lost = expected.filter((range) => !found.includes(range))
    const strange = found.filter((range) => !expected.includes(range))
    if (lost.length + strange.length > 0) {
      throw new Error(
        `acknowledged and lost: ${lost.join(' ') || 'nothing'}; listed and never sent: ${strange.join(' ') || 'nothing'}`,
      )
    }
    return { late }
  }

  /** Whether a chunk that was not answered has been stored. */
  #settle(sent: Unanswered, listed: number | undefined): boolean {
    const before = this.#pieces.get(sent.start)
    if (listed !== sent.stop) return false
    const versions = before?.stop === sent.stop ? [...before.versions, sent.version] : [sent.version]
    this.#pieces.set(sent.start, { start: sent.start, stop: sent.stop, versions: new Set(versions) })
    return before?.stop !== sent.stop
  }

  /** All of the file, as it must be when nothing is in doubt. */
  *content(): Generator<Buffer> {
    for (const { start, stop, versions } of this.pieces) {
      const [version, ...others] = versions
      if (version === undefined || others.length > 0) throw new Error(`what is at ${start} is in doubt`)
      yield* this.bytes(version, start, stop)
    }
  }
}

function describe({ start, stop, version }: Unanswered): string {
  return `version ${version} of [${start}, ${stop})`
}

/** Regions of random sizes, of at least two bytes. */
function cutsOf(length: number, count: number, random: () => number): readonly Region[] {
  const cuts = new Set<number>()
  while (cuts.size < count - 1) cuts.add(2 * Math.floor((random() * (length - 2)) / 2) + 2)
  const starts = [0, ...[...cuts].sort((a, b) => a - b)]
  return starts.map((start, index) => ({ start, stop: starts[index + 1] ?? length, busy: false }))
}
