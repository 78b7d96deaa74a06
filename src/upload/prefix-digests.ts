import { AvoidedUploads } from './avoided-uploads.js'
import type { DigestAlgorithm } from './digest.js'
import {
  DigestRun,
  type DigestRunLimits,
  type DigestRunOutcome,
  type DigestRunParts,
  type DigestSubject,
  type WorkedOut,
} from './digest-run.js'
import { draining, isUploadError, notFinished } from './errors.js'
import { HashThreads } from './hash-threads.js'
import type { UploadRegistry } from './ports.js'
import { Readers } from './readers.js'
import { unlessAborted } from './unless-aborted.js'
import { UnnotedDigests } from './unnoted-digests.js'
import type { Upload, UploadId } from './upload.js'

export type { WorkedOut } from './digest-run.js'

/**
 * Shorter uploads are hashed when they are finished. Measured for 16 MiB: 13 ms with sha256, 25 with md5, 65 with
 * sha3_512, the slowest; that is within the 100 ms in which finishing is to answer, and spares a turn and a hasher each.
 */
export const WORTH_FOLLOWING = 16 * 1024 * 1024

/** Blocks read at a time, over all uploads: libuv reads with four threads, and the others are for the uploads' writes. */
const READERS = 2

export interface PrefixDigestsLimits extends DigestRunLimits {
  /** Most uploads at a time. Each keeps a native hasher in a thread. */
  readonly most: number
  /** An upload to which nothing came for so long may have to make room for another that is followed, in ms. */
  readonly quiet: number
  /** For so long nobody tries to follow what another node follows, or what could not be read, in ms. */
  readonly avoided: number
  /** A digest handed out unnoted is noted after so long, in ms, if nobody did. */
  readonly unnoted: number
}

const USUAL: PrefixDigestsLimits = {
  most: 64,
  quiet: 30_000,
  idle: 10 * 60_000,
  avoided: 30_000,
  unnoted: 5_000,
  again: 100,
  looks: { first: 250, last: 1_000 },
}

export interface PrefixDigestsParts extends Pick<DigestRunParts, 'bytes' | 'log'> {
  readonly registry: DigestRunParts['registry'] & Pick<UploadRegistry, 'onDigestWanted'>
  /** Default: threads of its own. */
  readonly threads?: Pick<HashThreads, 'open' | 'close'>
  readonly limits?: Partial<PrefixDigestsLimits>
}

/**
 * Digests of whole contents, worked out ahead: `follow` hashes the gapless beginning of an upload while chunks still
 * arrive, so that `digest` has only the tail left. All of it is a cache over registry and bytes (DESIGN, *Prefix
 * digest*): one node at a time has the turn for a digest, and one that dies is begun again by the next.
 *
 * Who notes a digest: the run itself, unless somebody waits for it. Those who wait get it with the token of the turn,
 * because most of them complete the upload with it, in one statement. Whoever does not calls `note`; where
 * nobody says anything (its request failed), it is noted after a few seconds, so that no turn is kept for nothing.
 *
 * A turn ends when content is replaced. So `noteDigest` and `complete` find out, whatever was hashed meanwhile, and the
 * run begins again; `forget` and a prefix that became shorter only save it from going to the end first.
 */
export class PrefixDigests {
  readonly #parts: PrefixDigestsParts
  readonly #threads: Pick<HashThreads, 'open' | 'close'>
  readonly #limits: PrefixDigestsLimits
  readonly #readers = new Readers(READERS)
  /** By upload and algorithm, the one poked last at the end. */
  readonly #runs = new Map<string, DigestRun>()
  /** Runs that have not ended, those included that were let go. */
  readonly #ending = new Set<Promise<unknown>>()
  readonly #avoided: AvoidedUploads
  readonly #unnoted: UnnotedDigests
  readonly #listenNoMore: () => void
  #roomAwaited: (() => void)[] = []
  #closed = false

  constructor(parts: PrefixDigestsParts) {
    this.#parts = parts
    this.#threads = parts.threads ?? new HashThreads()
    this.#limits = { ...USUAL, ...parts.limits }
    this.#avoided = new AvoidedUploads(this.#limits.avoided)
    this.#unnoted = new UnnotedDigests(parts, this.#limits.unnoted)
    this.#listenNoMore = parts.registry.onDigestWanted((id) => this.#look(id))
  }

  /** To be called when bytes were recorded. Hashes what there is without a gap, in the background; never throws. */
  follow(upload: Upload, algorithm: DigestAlgorithm): void {
    if (this.#closed || upload.status !== 'in_progress') return
    if (upload.length === null || upload.length < WORTH_FOLLOWING) return
    const key = keyOf(upload.id, algorithm)
    const run = this.#runs.get(key)
    if (run !== undefined) this.#poke(key, run)
    else if (!this.#unnoted.has(key) && !this.#avoided.has(upload.id) && this.#makeRoom(this.#limits.quiet)) {
      this.#start(key, { id: upload.id, length: upload.length, algorithm })
    }
  }

  /** To be called when a chunk was replaced: what was hashed so far counts no more, and is begun again at once. */
  forget(id: UploadId): void {
    this.#avoided.delete(id)
    for (const run of this.#runs.values()) if (run.id === id) run.changed()
  }

  /**
   * The digest of the whole content of an upload without gaps. The work goes on when the caller leaves (`signal`), and
   * whoever asks for the same meanwhile shares it. Throws `upload_not_found`, `upload_not_finished` (there are gaps),
   * `upload_busy` (the content was replaced over and over), `draining`, and what registry and bytes throw.
   */
  async digest(upload: Upload, algorithm: DigestAlgorithm, signal?: AbortSignal): Promise<WorkedOut> {
    for (;;) {
      signal?.throwIfAborted()
      const outcome = await unlessAborted(this.#outcome(upload, algorithm, signal), signal)
      if (typeof outcome !== 'string') return outcome
    }
  }

  /** To be called by whoever was given a digest and does not complete the upload with it. Never throws. */
  async note(id: UploadId, { digest, token }: WorkedOut): Promise<void> {
    const key = keyOf(id, digest.algorithm)
    if (token !== null && this.#unnoted.isOf(key, token)) await this.#unnoted.settle(key)
  }

  /** Gives all turns back and ends the threads. Those who still wait for a digest get `draining`. */
  async close(): Promise<void> {
    this.#closed = true
    this.#listenNoMore()
    for (const run of this.#runs.values()) run.letGo()
    this.#tellRoom()
    await Promise.allSettled(this.#ending)
    await this.#unnoted.settleAll()
    await this.#threads.close()
  }

  /** How the run for this digest ends: the one there is, or a new one as soon as there is room. */
  async #outcome(
    { id, length }: Upload,
    algorithm: DigestAlgorithm,
    signal?: AbortSignal,
  ): Promise<DigestRunOutcome> {
    if (length === null) throw notFinished()
    const key = keyOf(id, algorithm)
    for (;;) {
      await this.#unnoted.settle(key)
      if (this.#closed) throw draining()
      const run = this.#runs.get(key)
      if (run !== undefined) return run.awaited(signal)
      if (this.#makeRoom(0)) return this.#start(key, { id, length, algorithm }).awaited(signal)
      await new Promise<void>((resolve) => this.#roomAwaited.push(resolve))
    }
  }

  #start(key: string, subject: DigestSubject): DigestRun {
    const parts = { ...this.#parts, threads: this.#threads, readers: this.#readers, limits: this.#limits }
    const run = new DigestRun(parts, subject, () => this.#tellRoom())
    this.#runs.set(key, run)
    const ended: Promise<void> = run.done
      .then(
        (outcome) => this.#ended(key, run, outcome),
        (error: unknown) => this.#failed(key, run, error),
      )
      .finally(() => {
        this.#ending.delete(ended)
        this.#tellRoom()
      })
    this.#ending.add(ended)
    return run
  }

  #ended(key: string, run: DigestRun, outcome: DigestRunOutcome): void {
    this.#drop(key, run)
    if (outcome === 'let go') return
    this.#avoided.add(run.id)
    if (outcome === 'elsewhere' || outcome.token === null) return
    const { digest, token } = outcome
    this.#unnoted.add(key, { id: run.id, digest, token })
  }

  #failed(key: string, run: DigestRun, error: unknown): void {
    this.#drop(key, run)
    this.#avoided.add(run.id)
    const gone = isUploadError(error) && error.code === 'upload_not_found'
    // Those who wait are told, and say what they make of it.
    if (gone || run.isAwaited) return
    this.#parts.log.warn({ err: error, upload: run.id }, 'a digest could not be worked out ahead')
  }

  #drop(key: string, run: DigestRun): void {
    if (this.#runs.get(key) === run) this.#runs.delete(key)
  }

  #poke(key: string, run: DigestRun): void {
    this.#runs.delete(key)
    this.#runs.set(key, run)
    run.poke()
  }

  /** Another node waits for a digest that is worked out here. */
  #look(id: UploadId): void {
    for (const run of this.#runs.values()) if (run.id === id) run.look()
  }

  /** Whether another run may begin. If need be one goes that rests for so long: the one not poked for longest. */
  #makeRoom(quiet: number): boolean {
    if (this.#runs.size < this.#limits.most) return true
    for (const [key, run] of this.#runs) {
      if (!run.restsFor(quiet)) continue
      this.#runs.delete(key)
      run.letGo()
      return true
    }
    return false
  }

  #tellRoom(): void {
    for (const resolve of this.#roomAwaited.splice(0)) resolve()
  }
}

function keyOf(id: UploadId, algorithm: DigestAlgorithm): string {
  return `${id} ${algorithm}`
}
