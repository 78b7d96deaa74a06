import { describe, expect } from 'vitest'
import type { Blob } from '../../../src/upload/blob.js'
import type { Claim, UploadRegistry } from '../../../src/upload/ports.js'
import type { Upload } from '../../../src/upload/upload.js'
import { seededRandom } from '../../support/seeded.js'
import { claimOf, codeOf, type Fact, finishOf, type Stage } from './stage.js'

const LENGTH = 24
const STEPS = 60
const HISTORIES = 10

export function chunkHistories(fact: Fact): void {
  describe('whatever happens to chunks', () => {
    for (let seed = 1; seed <= HISTORIES; seed++) {
      fact(`the content is what was recorded (history ${seed})`, async (stage) => {
        const history = await History.begin(stage, seed)
        for (let step = 0; step < STEPS; step++) await history.step()
        await history.end()
      })
    }
  })
}

interface Writer {
  readonly node: UploadRegistry
  readonly claim: Claim
  /** End of what it asked for. */
  readonly stop: number
  /** End of what it claims. */
  readonly end: number
  /** Its node lost the lease: it may be taken over. */
  lapsed: boolean
}

/** One upload, many writers, and what its content must be by the rules. */
class History {
  readonly #stage: Stage
  readonly #upload: Upload
  readonly #nodes: UploadRegistry[]
  readonly #received = new Map<number, string>()
  /** Where each was written to. */
  readonly #places = new Map<number, Blob>()
  #writers: Writer[] = []
  /** Taken over, and writing all the same. */
  readonly #ghosts: Writer[] = []
  readonly #random: () => number
  #letters = 0

  private constructor(stage: Stage, upload: Upload, nodes: UploadRegistry[], seed: number) {
    this.#stage = stage
    this.#upload = upload
    this.#nodes = nodes
    this.#random = seededRandom(seed)
  }

  static async begin(stage: Stage, seed: number): Promise<History> {
    const nodes = [stage.a, await stage.bench.node(), await stage.bench.node()]
    return new History(stage, await stage.chunked(LENGTH), nodes, seed)
  }

  async step(): Promise<void> {
    const dice = this.#below(100)
    if (dice < 45) await this.#claim()
    else if (dice < 75) await this.#record()
    else if (dice < 85) await this.#release()
    else if (dice < 93) this.#haunt()
    else if (dice < 97) await this.#lapse()
    else await this.#lose()
    await this.#check()
  }

  /** Fills what is missing, and finishes the upload. */
  async end(): Promise<void> {
    for (const { node, claim } of this.#writers.splice(0)) await node.release(claim)
    const node = await this.#stage.bench.node()
    let at = 0
    for (const [start, text] of [...this.#sorted(), [LENGTH, ''] as const]) {
      if (start > at) {
        const filling = this.#text(start - at)
        await this.#stage.chunk(this.#upload, at, filling, node)
        this.#received.set(at, filling)
      }
      at = start + text.length
    }
    this.#haunt()
    const whole = this.#sorted()
      .map(([, text]) => text)
      .join('')
    expect(await this.#stage.beginning(this.#upload, node)).toBe(whole)
    await node.complete(finishOf(this.#upload))
    this.#haunt()
    expect(await this.#stage.content(this.#upload, node)).toBe(whole)
  }

  async #claim(): Promise<void> {
    const starts = [...this.#received.keys()]
    const again = this.#below(3) === 0 ? starts[this.#below(starts.length || 1)] : undefined
    const start = again ?? this.#below(LENGTH)
    const stop = start + 1 + this.#below(Math.min(8, LENGTH - start))
    const node = this.#nodes[this.#below(this.#nodes.length)] ?? this.#stage.a
    const end = Math.max(stop, start + (this.#received.get(start)?.length ?? 0))
    const asked = node.claim(claimOf(this.#upload, { start, stop }))
    const touched = this.#sorted().some(([at, text]) => at !== start && at < stop && start < at + text.length)
    if (touched) {
      expect(await codeOf(asked)).toBe('range_conflict')
      return
    }
    const met = this.#writers.filter((writer) => writer.claim.start < end && start < writer.end)
    const claim = await asked
    expect(claim === null).toBe(met.some(({ lapsed }) => !lapsed))
    if (claim === null) return
    expect(claim.replaces?.stop ?? null).toBe(
      this.#received.has(start) ? start + this.#lengthAt(start) : null,
    )
    if (claim.replaces) expect(this.#stage.read(shifted(claim))).toBe(this.#received.get(start))
    this.#writers = this.#writers.filter((writer) => !met.includes(writer))
    this.#ghosts.push(...met)
    this.#writers.push({ node, claim, stop, end, lapsed: false })
  }

  async #record(): Promise<void> {
    const writer = this.#any()
    if (writer === undefined) return
    const { claim, node } = writer
    const text = this.#text(1 + this.#below(writer.stop - claim.start))
    await node.record(claim, this.#stage.write(claim, text))
    this.#received.set(claim.start, text)
    this.#places.set(claim.start, claim.blob)
    this.#leave(writer)
  }

  /** The file of one of its blobs goes, with all that lies there. */
  async #lose(): Promise<void> {
    const places = [...this.#places.values()]
    const lost = places[this.#below(places.length || 1)]
    if (lost === undefined) return
    for (const { node, claim } of this.#writers.splice(0)) await node.release(claim)
    this.#stage.lose(lost)
    expect(await this.#stage.a.forgetLost(this.#upload.id, lost)).toBe(true)
    for (const [start, { id }] of [...this.#places]) {
      if (id !== lost.id) continue
      this.#received.delete(start)
      this.#places.delete(start)
    }
  }

  async #release(): Promise<void> {
    const writer = this.#any()
    if (writer === undefined) return
    await writer.node.release(writer.claim)
    this.#leave(writer)
  }

  async #lapse(): Promise<void> {
    const node = this.#nodes[this.#below(this.#nodes.length)] ?? this.#stage.a
    await this.#stage.bench.lapse(node)
    await this.#stage.bench.thaw(node)
    for (const writer of this.#writers) if (writer.node === node) writer.lapsed = true
  }

  /** Everybody writes wherever a claim once let them, recorded or not. */
  #haunt(): void {
    for (const { claim, stop } of [...this.#ghosts, ...this.#writers]) {
      this.#stage.write(claim, '?'.repeat(stop - claim.start))
    }
  }

  async #check(): Promise<void> {
    const ranges = this.#sorted().map(([start, text]) => ({ start, stop: start + text.length }))
    const described = await this.#stage.a.describe(this.#upload.id, null)
    expect(described?.received).toEqual(ranges)
    let prefix = ''
    for (const [start, text] of this.#sorted()) if (start === prefix.length) prefix += text
    expect(described?.upload.offset).toBe(prefix.length)
    expect(await this.#stage.beginning(this.#upload)).toBe(prefix)
    for (const ghost of this.#ghosts) {
      expect(await codeOf(ghost.node.record(ghost.claim, ghost.stop))).toBe('claim_lost')
    }
  }

  #leave(writer: Writer): void {
    this.#writers = this.#writers.filter((each) => each !== writer)
  }

  #any(): Writer | undefined {
    return this.#writers[this.#below(this.#writers.length || 1)]
  }

  #sorted(): [number, string][] {
    return [...this.#received].sort(([a], [b]) => a - b)
  }

  #lengthAt(start: number): number {
    return this.#received.get(start)?.length ?? 0
  }

  #text(length: number): string {
    const letters = Array.from({ length }, () => String.fromCharCode(97 + (this.#letters++ % 26)))
    return letters.join('')
  }

  /** An integer from 0 on, below `most`. */
  #below(most: number): number {
    return Math.floor(this.#random() * most)
  }
}

/** The extents of a replaced chunk as if they were all there is. */
function shifted({ start, replaces }: Claim) {
  return (replaces?.extents ?? []).map((extent) => ({
    ...extent,
    start: extent.start - start,
    stop: extent.stop - start,
  }))
}
