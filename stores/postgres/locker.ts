import { createHash } from 'node:crypto'
import type { Lock, Locker, RequestRelease } from '@tus/utils'
import type { Logger } from '../../src/upload/log.js'
import { patiently } from '../../src/upload/patience.js'
import type { Database } from './database.js'
import { HeldLocks } from './held-locks.js'
import { LOOK_MS } from './lookout.js'
import type { NodeLease } from './node-lease.js'
import type { Signals } from './signals.js'

const LOOK_AGAIN_MS = 500

export interface LockerOptions {
  /** How long `lock` waits for a holder that does not let go, in ms. Default 30 000, as @tus/server's own. */
  readonly acquireTimeout?: number
}

/**
 * The lock could not be had in time. The `Locker` interface of @tus/utils speaks in status codes: 423 makes clients
 * come again (tus-js-client starts a new upload from byte 0 at the stock 500).
 */
export class LockTimeout extends Error {
  readonly code = 'upload_busy'
  readonly status_code = 423
  readonly body = 'The upload is locked by another request; try again shortly.\n'

  constructor() {
    super('the lock could not be acquired in time')
    this.name = 'LockTimeout'
  }
}

/** The wait for a lock was given up by whoever asked for it. */
export class LockAborted extends Error {
  readonly code = 'lock_aborted'
  readonly status_code = 423
  readonly body = 'The request was given up while it waited for the upload.\n'

  constructor(cause: unknown) {
    super('the wait for the lock was aborted', { cause })
    this.name = 'LockAborted'
  }
}

/**
 * Locks for any @tus/server, held in PostgreSQL: they exclude all processes on one database, end with their
 * holder's lease (4 s) when it dies, and are handed over by NOTIFY. No connection is held while a lock is.
 */
export class PostgresLocker implements Locker {
  readonly #database: Database
  readonly #lease: NodeLease
  readonly #signals: Signals
  readonly #log: Logger
  readonly #acquireTimeout: number
  readonly #held: HeldLocks

  constructor(
    database: Database,
    lease: NodeLease,
    signals: Signals,
    log: Logger,
    options: LockerOptions = {},
  ) {
    this.#database = database
    this.#lease = lease
    this.#signals = signals
    this.#log = log
    this.#acquireTimeout = options.acquireTimeout ?? 30_000
    this.#held = new HeldLocks(database, signals)
  }

  /** Ends locks of this node that nobody here has. */
  dropOrphans(): Promise<void> {
    return this.#held.dropOrphans(this.#lease.epoch)
  }

  /** The lease was lost, and every lock with it: whoever has one is to stop, as others may have it by now. */
  lostAll(): void {
    this.#held.stopAll()
  }

  newLock(id: string): Lock {
    return new PostgresLock(
      id,
      this.#database,
      this.#lease,
      this.#signals,
      this.#log,
      this.#held,
      this.#acquireTimeout,
    )
  }
}

class PostgresLock implements Lock {
  #token: string | null = null

  constructor(
    private readonly key: string,
    private readonly database: Database,
    private readonly lease: NodeLease,
    private readonly signals: Signals,
    private readonly log: Logger,
    private readonly held: HeldLocks,
    private readonly timeout: number,
  ) {}

  async lock(signal: AbortSignal, cancelReq: RequestRelease): Promise<void> {
    const deadline = performance.now() + this.timeout
    for (;;) {
      if (signal.aborted) throw new LockAborted(signal.reason)
      this.#token = await this.#take()
      if (this.#token !== null) return this.#follow(this.#token, cancelReq)
      const left = deadline - performance.now()
      if (left <= 0) throw new LockTimeout()
      const free = this.#unlocked(Math.min(left, LOOK_AGAIN_MS), signal)
      await this.#askHolder()
      await free
    }
  }

  async unlock(): Promise<void> {
    const token = this.#token
    this.#token = null
    if (token === null) return
    this.held.drop(token)
    const { s, channel } = this.database
    await patiently(() =>
      this.database.rows(
        'unlock',
        `with gone as (delete from ${s}.locks where key = ? and token = ? returning key, yield_requested_at)
         select pg_notify(?, 'unlocked ' || md5(key)) from gone where yield_requested_at is not null`,
        [this.key, token, channel],
      ),
    )
  }

  /** Takes the lock if it is free or its holder is dead; null otherwise. */
  async #take(): Promise<string | null> {
    const { s } = this.database
    for (;;) {
      const [row] = await this.database.rows<{ live: boolean; token: string | null }>(
        'lock',
        `with taken as (
           insert into ${s}.locks as l (key, token, epoch)
           select ?::text, nextval(?::regclass), ?::bigint where ${s}.alive(?::bigint)
           on conflict (key) do update
             set token = excluded.token, epoch = excluded.epoch, yield_requested_at = null,
               locked_at = clock_timestamp()
             where not ${s}.alive(l.epoch)
           returning token)
         select ${s}.alive(?::bigint) as live, (select token from taken) as token`,
        [this.key, `${s}.lock_tokens`, this.lease.epoch, this.lease.epoch, this.lease.epoch],
      )
      if (row?.token != null || row?.live) return row.token
      await this.lease.renew()
    }
  }

  async #askHolder(): Promise<void> {
    const { s, channel } = this.database
    await this.database.rows(
      'ask_holder',
      `with asked as (
         update ${s}.locks set yield_requested_at = coalesce(yield_requested_at, clock_timestamp())
         where key = ? returning token)
       select pg_notify(?, 'yield-lock ' || token) from asked`,
      [this.key, channel],
    )
  }

  #unlocked(milliseconds: number, signal: AbortSignal): Promise<void> {
    const limit = this.signals.listening ? milliseconds : Math.min(milliseconds, LOOK_MS)
    return new Promise((resolve) => {
      const done = () => {
        off()
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const off = this.signals.on(`unlocked ${md5(this.key)}`, done)
      const timer = setTimeout(done, limit)
      signal.addEventListener('abort', done)
    })
  }

  /** Tells the holder, once, that somebody waits. */
  #follow(token: string, cancelReq: RequestRelease): void {
    let told = false
    const tell = () => {
      if (told) return
      told = true
      // A holder that fails to stop keeps the lock until it unlocks, or its node's lease lapses.
      Promise.resolve()
        .then(cancelReq)
        .catch((error: unknown) =>
          this.log.warn({ err: error }, 'the holder of a lock failed when asked to stop'),
        )
    }
    this.held.hold(token, tell)
  }
}

/** Keys are other people's text: hashed they fit into a message. */
function md5(text: string): string {
  return createHash('md5').update(text).digest('hex')
}
