import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { type Digest, type DigestAlgorithm, opensslName } from './digest.js'
import { Readers } from './readers.js'

/** Bytes `[from, to)` of a file. */
export interface FileRange {
  readonly path: string
  readonly from: number
  readonly to: number
}

/**
 * How many bytes were hashed, from the first on, and why not all. `gone`: a file is not there. `short`: it ended early.
 * `failed`: whatever else the operating system said, in `cause`. `dropped`: when its turn came, it was not wanted.
 */
export interface FilesHashed {
  readonly hashed: number
  readonly ended: 'end' | 'gone' | 'short' | 'failed' | 'dropped'
  readonly cause?: unknown
}

/** For whom files are read; asked while it is not yet their turn. */
export interface FilesWanted {
  /** Whether somebody waits: those go first. */
  isAwaited(): boolean
  isInterrupted(): boolean
}

/** A hasher in another thread. Whatever it rejects with, it can go on no more. */
export interface RemoteHasher {
  /**
   * Takes the next bytes, which are its own from here on: where the buffer has its memory to itself, that is moved
   * away and the buffer is empty afterwards. To be awaited before the next call: it resolves when there is room.
   */
  update(bytes: Buffer): Promise<void>
  /**
   * Takes the next bytes from these files, which the thread reads by itself. To be awaited before the next call. After
   * a file that could not be read it can go on, behind the bytes that were hashed.
   */
  updateFrom(files: readonly FileRange[], whom: FilesWanted): Promise<FilesHashed>
  /** The digest of all bytes; may be asked once, at the end. */
  digest(): Promise<Digest>
  /** Lets go of it. What is still awaited is rejected. */
  close(): void
}

/** The thread of a hasher ended, and what had been hashed is lost. The next `open` gets another thread. */
export class HashThreadLost extends Error {
  constructor(cause?: unknown) {
    super('The thread that was hashing has ended.', { cause })
    this.name = 'HashThreadLost'
  }
}

/** What a thread is told, about one of its hashers. `openssl`: OpenSSL's name of the algorithm; null: zlib's CRC. */
export type HashCall =
  | { readonly hasher: number; readonly call: 'open'; readonly openssl: string | null }
  | { readonly hasher: number; readonly call: 'update'; readonly bytes: ArrayBuffer }
  | { readonly hasher: number; readonly call: 'updateFrom'; readonly files: readonly FileRange[] }
  | { readonly hasher: number; readonly call: 'digest' | 'close' }

/** What a thread says: that it is through with so many bytes, or with files, the digest, or why the hasher can go on no more. */
export type HashAnswer =
  | { readonly hasher: number; readonly hashed: number }
  | { readonly hasher: number; readonly files: FilesHashed }
  | { readonly hasher: number; readonly digest: Uint8Array }
  | { readonly hasher: number; readonly failed: unknown }

/** `update` resolves while less than this is under way: of blocks of 1 MiB one is hashed and one is next. */
const MOST_IN_FLIGHT = 2 * 1024 * 1024

/** Slices of files with one thread: one is read and hashed, and another is there when it is through with that. */
const SLICES_PER_THREAD = 2

/** Four threads hash faster than most disks read; one core stays for everything else. */
const MOST_THREADS = 4

export interface HashThreadsOptions {
  /** Most threads. Default: what `mostThreads` says. */
  readonly most?: number
  /** Starts a thread. Default: one that runs hash-thread.mjs; tests pass threads they can end. */
  readonly start?: () => Worker
}

/** A few threads that hash, each started when it is first needed. They keep no process alive. */
export class HashThreads {
  readonly #most: number
  readonly #start: () => Worker
  readonly #threads = new Set<HashThread>()
  #closed = false

  constructor(options: HashThreadsOptions = {}) {
    this.#most = options.most ?? mostThreads()
    this.#start = options.start ?? startThread
  }

  open(algorithm: DigestAlgorithm): RemoteHasher {
    if (this.#closed) throw new Error('The threads that hash were closed.')
    return this.#leastBusy().open(algorithm)
  }

  /** Ends all threads; what is awaited of them is rejected. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#threads].map((thread) => thread.close()))
  }

  /** A hasher stays where it was opened. Most of them rest, so those with bytes under way count first. */
  #leastBusy(): HashThread {
    const [best] = [...this.#threads].sort((a, b) => a.busy - b.busy || a.hashers - b.hashers)
    const full = this.#threads.size >= this.#most
    return best !== undefined && (full || best.hashers === 0) ? best : this.#another()
  }

  #another(): HashThread {
    const thread: HashThread = new HashThread(this.#start(), () => this.#threads.delete(thread))
    this.#threads.add(thread)
    return thread
  }
}

/**
 * One less than the machine can run at once, at most 4, at least 1. `processes` that hash side by side divide them: a
 * thread takes 10 MB, and more of them than cores finish nothing sooner.
 */
export function mostThreads(processes = 1, cores = availableParallelism()): number {
  return Math.max(1, Math.min(MOST_THREADS, Math.floor((cores - 1) / processes)))
}

function startThread(): Worker {
  // Nothing of what this process was started with: a loader or an inspector has no business there.
  return new Worker(new URL('./hash-thread.mjs', import.meta.url), { execArgv: [] })
}

/** One thread and the hashers in it. */
class HashThread {
  readonly #worker: Worker
  readonly #ended: () => void
  readonly #hashers = new Map<number, ThreadHasher>()
  readonly #readers = new Readers(SLICES_PER_THREAD)
  #opened = 0

  /** `ended` is called once, when the thread can be used no more. */
  constructor(worker: Worker, ended: () => void) {
    this.#worker = worker
    this.#ended = ended
    worker.unref()
    worker.on('message', (answer: HashAnswer) => this.#hashers.get(answer.hasher)?.hear(answer))
    worker.on('messageerror', (error) => this.#lose(error))
    worker.on('error', (error) => this.#lose(error))
    worker.on('exit', (code) => this.#lose(new Error(`It exited with code ${code}.`)))
  }

  get hashers(): number {
    return this.#hashers.size
  }

  get busy(): number {
    return [...this.#hashers.values()].filter(({ inFlight }) => inFlight > 0).length
  }

  open(algorithm: DigestAlgorithm): RemoteHasher {
    this.#opened += 1
    const id = this.#opened
    const hasher = new ThreadHasher(id, algorithm, {
      readers: this.#readers,
      tell: (call) => this.#tell(call),
      forget: () => this.#hashers.delete(id),
    })
    this.#hashers.set(id, hasher)
    return hasher
  }

  async close(): Promise<void> {
    await this.#worker.terminate()
  }

  #tell(call: HashCall): void {
    try {
      this.#worker.postMessage(call, call.call === 'update' ? [call.bytes] : [])
    } catch {
      // Some memory cannot be moved, such as that of a native module: then the message has a copy of it.
      this.#worker.postMessage(call)
    }
  }

  #lose(cause: unknown): void {
    this.#ended()
    // One that still runs after it made no sense must not go on doing so.
    void this.#worker.terminate()
    for (const hasher of this.#hashers.values()) hasher.fail(new HashThreadLost(cause))
  }
}

interface ThreadOfHasher {
  readonly readers: Readers
  tell(call: HashCall): void
  /** Nothing more will be heard of this hasher. */
  forget(): void
}

interface Waiting<T> {
  readonly resolve: (value: T) => void
  readonly reject: (error: unknown) => void
}

/** This side of a hasher in a thread. */
class ThreadHasher implements RemoteHasher {
  readonly #id: number
  readonly #algorithm: DigestAlgorithm
  readonly #thread: ThreadOfHasher
  #inFlight = 0
  readonly #updating: Waiting<void>[] = []
  #reading: Waiting<FilesHashed> | null = null
  #digesting: Waiting<Digest> | null = null
  /** Why nothing more can be asked of it. */
  #over: Error | null = null

  constructor(id: number, algorithm: DigestAlgorithm, thread: ThreadOfHasher) {
    this.#id = id
    this.#algorithm = algorithm
    this.#thread = thread
    thread.tell({ hasher: id, call: 'open', openssl: opensslName(algorithm) })
  }

  /** Bytes given to the thread that it is not through with. */
  get inFlight(): number {
    return this.#inFlight
  }

  async update(bytes: Buffer): Promise<void> {
    if (this.#over !== null) throw this.#over
    const { length } = bytes
    this.#thread.tell({ hasher: this.#id, call: 'update', bytes: ownMemory(bytes) })
    this.#inFlight += length
    if (this.#inFlight < MOST_IN_FLIGHT) return
    await new Promise<void>((resolve, reject) => this.#updating.push({ resolve, reject }))
  }

  async updateFrom(files: readonly FileRange[], whom: FilesWanted): Promise<FilesHashed> {
    return this.#thread.readers.read(
      () => whom.isAwaited(),
      async () => {
        if (this.#over !== null) throw this.#over
        if (whom.isInterrupted()) return { hashed: 0, ended: 'dropped' }
        return this.#updateFrom(files)
      },
    )
  }

  async digest(): Promise<Digest> {
    if (this.#over !== null) throw this.#over
    this.#over = new Error('The digest was asked for already.')
    this.#thread.tell({ hasher: this.#id, call: 'digest' })
    return new Promise((resolve, reject) => {
      this.#digesting = { resolve, reject }
    })
  }

  close(): void {
    if (this.#over === null) this.#thread.tell({ hasher: this.#id, call: 'close' })
    this.fail(new Error('The hasher was closed.'))
  }

  hear(answer: HashAnswer): void {
    if ('hashed' in answer) this.#hashed(answer.hashed)
    else if ('files' in answer) this.#reading?.resolve(answer.files)
    else if ('digest' in answer) this.#done(Buffer.from(answer.digest))
    else this.fail(new Error('The bytes could not be hashed.', { cause: answer.failed }))
  }

  fail(error: Error): void {
    this.#over = error
    this.#inFlight = 0
    this.#thread.forget()
    this.#reading?.reject(error)
    this.#digesting?.reject(error)
    this.#digesting = null
    for (const { reject } of this.#updating.splice(0)) reject(error)
  }

  async #updateFrom(files: readonly FileRange[]): Promise<FilesHashed> {
    const length = files.reduce((sum, { from, to }) => sum + to - from, 0)
    this.#inFlight += length
    this.#thread.tell({ hasher: this.#id, call: 'updateFrom', files })
    const outcome = await new Promise<FilesHashed>((resolve, reject) => {
      this.#reading = { resolve, reject }
    })
    this.#reading = null
    this.#hashed(length)
    return outcome
  }

  #hashed(length: number): void {
    this.#inFlight -= length
    if (this.#inFlight >= MOST_IN_FLIGHT) return
    for (const { resolve } of this.#updating.splice(0)) resolve()
  }

  #done(bytes: Buffer): void {
    this.#thread.forget()
    this.#digesting?.resolve({ algorithm: this.#algorithm, bytes })
    this.#digesting = null
  }
}

/** The memory of these bytes and no others: their own, or a copy where the buffer is a piece of something larger. */
function ownMemory(bytes: Buffer): ArrayBuffer {
  const { buffer } = bytes
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.length) return buffer
  return new Uint8Array(bytes).buffer
}
