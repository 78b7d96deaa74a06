import { setTimeout as sleep } from 'node:timers/promises'
import type { Digest, DigestAlgorithm } from './digest.js'
import { busy, notFinished, notFound } from './errors.js'
import { HashThreadLost, type HashThreads, type RemoteHasher } from './hash-threads.js'
import type { Logger } from './log.js'
import { patiently } from './patience.js'
import type { DigestTurn, UploadRegistry } from './ports.js'
import { PrefixReader, type PrefixReaderParts, type PrefixTaker } from './prefix-reader.js'
import { type Looks, Rest } from './rest.js'
import { unlessAborted } from './unless-aborted.js'
import type { UploadId } from './upload.js'

/** A content that changes while it is hashed is begun again that often before nobody can be told its digest. */
const MOST_STARTS = 6

/** Between two looks at a turn of another node, in ms. */
const LOOK_AGAIN_MS = 500

/** `handedBack` may have reasons of its own to resolve early; asking never spins all the same. */
const SHORTEST_LOOK_MS = 50

export interface DigestRunLimits {
  /** An upload to which nothing came for so long is let go, in ms. */
  readonly idle: number
  /** Before a content that changed is begun again, in ms; doubled each time, since changes come in bursts. */
  readonly again: number
  /** How often it looks for chunks that went to other nodes. */
  readonly looks: Looks
}

export interface DigestRunParts extends PrefixReaderParts {
  readonly registry: Pick<
    UploadRegistry,
    'prefix' | 'takeDigest' | 'noteDigest' | 'leaveDigest' | 'handedBack'
  >
  readonly log: Logger
  readonly threads: Pick<HashThreads, 'open'>
  readonly limits: DigestRunLimits
}

/** What it is to be the digest of. */
export interface DigestSubject {
  readonly id: UploadId
  readonly length: number
  readonly algorithm: DigestAlgorithm
}

/** `token`: of the turn under which it was worked out, while the registry does not know it; null once it does. */
export interface WorkedOut {
  readonly digest: Digest
  readonly token: number | null
}

/** How a run may end without a digest: `elsewhere`: another node is at it. `let go`: nobody here waits for it. */
export type DigestRunOutcome = WorkedOut | 'elsewhere' | 'let go'

/**
 * One digest being worked out: takes the turn, hashes as far as there is no gap, rests until there is more, and so on
 * to the end. While somebody waits for it, it does not rest.
 */
export class DigestRun {
  readonly id: UploadId
  /** How it ended. Rejects with what registry and bytes throw. */
  readonly done: Promise<DigestRunOutcome>
  readonly #parts: DigestRunParts
  readonly #subject: DigestSubject
  readonly #rested: () => void
  readonly #stopping = new AbortController()
  readonly #rest: Rest
  #starts = 0
  #waiting = 0
  #changed = false
  #poked = true

  /** `rested` is called whenever a rest begins. */
  constructor(parts: DigestRunParts, subject: DigestSubject, rested: () => void) {
    this.id = subject.id
    this.#parts = parts
    this.#subject = subject
    this.#rested = rested
    this.#rest = new Rest(parts.limits.looks)
    this.done = this.#run()
  }

  /** There may be more bytes. Pokes while it is at work are one. */
  poke(): void {
    this.#rest.came()
    this.look()
  }

  /** Another node waits for it: a look at what is there, at once. */
  look(): void {
    this.#poked = true
    this.#rest.end()
  }

  changed(): void {
    this.#changed = true
    this.#rest.end()
  }

  letGo(): void {
    this.#stopping.abort()
    this.#rest.end()
  }

  /** Whether it rests and nothing came for so long, in ms. */
  restsFor(milliseconds: number): boolean {
    return this.#rest.isOn && !this.isAwaited && this.#rest.quiet >= milliseconds
  }

  get isAwaited(): boolean {
    return this.#waiting > 0
  }

  /** How it ended, for one who waits for it and has it hurry. */
  async awaited(signal?: AbortSignal): Promise<DigestRunOutcome> {
    this.#waiting += 1
    // How often it was begun before is not the trouble of whoever comes now.
    this.#starts = 1
    this.#rest.end()
    try {
      return await unlessAborted(this.done, signal)
    } finally {
      this.#waiting -= 1
    }
  }

  get #interrupted(): boolean {
    return this.#changed || this.#stopping.signal.aborted
  }

  async #run(): Promise<DigestRunOutcome> {
    for (this.#starts = 1; this.#starts <= MOST_STARTS; this.#starts++) {
      if (this.#starts > 1) await this.#pause(this.#parts.limits.again * 2 ** (this.#starts - 2))
      this.#changed = false
      const turn = await this.#takeTurn()
      if (typeof turn === 'string') return turn
      if (turn.outcome === 'known') return { digest: turn.digest, token: null }
      const outcome = await this.#underTurn(turn.token)
      if (outcome !== 'changed') return outcome
    }
    throw busy()
  }

  async #takeTurn(): Promise<Exclude<DigestTurn, { outcome: 'elsewhere' }> | 'elsewhere' | 'let go'> {
    const { registry } = this.#parts
    const { id, algorithm } = this.#subject
    while (!this.#stopping.signal.aborted) {
      const turn = await patiently(() => registry.takeDigest(id, algorithm))
      if (turn === null) throw notFound()
      if (turn.outcome !== 'elsewhere') return turn
      if (!this.isAwaited) return 'elsewhere'
      await Promise.all([registry.handedBack(id, LOOK_AGAIN_MS), this.#pause(SHORTEST_LOOK_MS)])
    }
    return 'let go'
  }

  /** The turn is given back, unless the digest is noted, or handed out with the token. */
  async #underTurn(token: number): Promise<DigestRunOutcome | 'changed'> {
    let open = true
    try {
      const digest = await this.#hash()
      if (this.#changed) return 'changed'
      if (digest === null) return 'let go'
      const leave = this.isAwaited
      if (!leave && !(await this.#note(token, digest))) return 'changed'
      open = false
      return { digest, token: leave ? token : null }
    } catch (error) {
      if (!(error instanceof HashThreadLost)) throw error
      this.#parts.log.warn(
        { err: error, upload: this.id },
        'a thread that hashed has ended; it is begun again',
      )
      return 'changed'
    } finally {
      if (open) await this.#leave(token)
    }
  }

  /** Null when it was interrupted before the end. */
  async #hash(): Promise<Digest | null> {
    const hasher = this.#parts.threads.open(this.#subject.algorithm)
    const reader = this.#readerFor(hasher)
    try {
      while (!this.#interrupted) {
        const { isAwaited } = this
        this.#poked = false
        await reader.advance()
        if (this.#interrupted) break
        if (reader.isThrough) return await hasher.digest()
        if (isAwaited) throw notFinished()
        await this.#restUnlessDue()
      }
      return null
    } finally {
      hasher.close()
    }
  }

  #readerFor(hasher: RemoteHasher): PrefixReader {
    const taker: PrefixTaker = {
      take: async (block) => {
        await hasher.update(block)
        this.#rest.came()
      },
      takeFrom: async (files) => {
        const outcome = await hasher.updateFrom(files, taker)
        if (outcome.hashed > 0) this.#rest.came()
        return outcome
      },
      changed: () => this.changed(),
      isAwaited: () => this.isAwaited,
      isInterrupted: () => this.#interrupted,
    }
    return new PrefixReader(this.#parts, this.#subject, taker)
  }

  async #restUnlessDue(): Promise<void> {
    if (this.#poked || this.isAwaited || this.#interrupted) return
    if (this.#rest.quiet >= this.#parts.limits.idle) return this.letGo()
    await this.#rest.take(this.#rested)
  }

  #note(token: number, digest: Digest): Promise<boolean> {
    return patiently(() => this.#parts.registry.noteDigest(this.id, token, digest))
  }

  async #leave(token: number): Promise<void> {
    try {
      await patiently(() => this.#parts.registry.leaveDigest(this.id, token))
    } catch (error) {
      // The registry has forgotten it: it goes back as an orphan's, or with the lease, and falls to whoever asks.
      this.#parts.log.warn({ err: error, upload: this.id }, 'the turn for a digest could not be given back')
    }
  }

  async #pause(milliseconds: number): Promise<void> {
    const { signal } = this.#stopping
    await sleep(milliseconds, undefined, { signal, ref: false }).catch(() => undefined)
  }
}
