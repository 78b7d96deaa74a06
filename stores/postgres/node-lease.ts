import type { Logger } from '../../src/upload/log.js'
import type { Database } from './database.js'
import { isProvedDead, type ProcessIdentity, thisProcess } from './process-identity.js'

const HEARTBEAT_MS = 1_000

/** How long a node may be silent before others take over what it holds. */
const LEASE = '4 seconds'

/**
 * This process as the database knows it: one row, kept alive by a heartbeat, that all its claims hang on. A missed
 * lease is final: the node goes on as a new epoch, and what it held before is lost to it.
 */
export class NodeLease {
  readonly #database: Database
  readonly #log: Logger
  readonly #self: ProcessIdentity = thisProcess()
  readonly #onLost: () => void
  /** All epochs this process has had, with the present one last. */
  readonly #epochs = new Set<number>()
  #epoch = 0
  #timer: NodeJS.Timeout | null = null
  #beating: Promise<void> | null = null
  #renewing: Promise<void> | null = null

  /**
   * `database`: a connection of its own, so that a heartbeat waits for no request, however many of them wait for each
   * other. `onLost` is called when claims made so far no longer hold by themselves.
   */
  constructor(database: Database, log: Logger, onLost: () => void) {
    this.#database = database
    this.#log = log
    this.#onLost = onLost
  }

  get epoch(): number {
    return this.#epoch
  }

  /** Whether an epoch is, or was, one of this process. */
  wasOurs(epoch: number): boolean {
    return this.#epochs.has(epoch)
  }

  async start(): Promise<void> {
    await this.#begin()
    await this.buryDead()
    this.#timer = setInterval(() => {
      this.#beating ??= this.beat().finally(() => {
        this.#beating = null
      })
    }, HEARTBEAT_MS).unref()
  }

  /** Ends the lease in order: from now on this node surely writes nothing. */
  async stop(): Promise<void> {
    this.pause()
    await this.#beating
    await this.#renewing
    const { s } = this.#database
    await this.#database.rows(
      'node_stop',
      `update ${s}.nodes set lease_until = '-infinity' where epoch = ?`,
      [this.#epoch],
    )
  }

  /** Lets the lease lapse, as a frozen process would. */
  pause(): void {
    if (this.#timer) clearInterval(this.#timer)
    this.#timer = null
  }

  /** Takes a new epoch because the present one has lapsed. */
  renew(): Promise<void> {
    this.#renewing ??= this.#begin()
      .then(() => this.#onLost())
      .finally(() => {
        this.#renewing = null
      })
    return this.#renewing
  }

  /** Runs a statement that starts something under the present epoch, again under a new one while it says that it lapsed. */
  async living<Answer extends { readonly outcome: string } | null>(
    statement: (epoch: number) => Promise<Answer | { readonly outcome: 'lapsed' }>,
  ): Promise<Exclude<Answer, { readonly outcome: 'lapsed' }>> {
    for (;;) {
      const answer = await statement(this.#epoch)
      if (answer === null || answer.outcome !== 'lapsed') {
        return answer as Exclude<Answer, { readonly outcome: 'lapsed' }>
      }
      await this.renew()
    }
  }

  /**
   * Ends the leases of nodes that provably died on this machine, so that nobody waits for them: a server that is
   * started again goes on at once where its killed predecessor was.
   */
  async buryDead(): Promise<void> {
    const { s } = this.#database
    const living = await this.#database.rows<{ epoch: string; process: ProcessIdentity }>(
      'nodes_living',
      `select epoch, process from ${s}.nodes where isfinite(lease_until) and swept_at is null`,
    )
    const dead = living.filter((node) => isProvedDead(node.process, this.#self)).map((node) => node.epoch)
    if (dead.length === 0) return
    await this.#database.rows(
      'nodes_bury',
      `update ${s}.nodes set lease_until = '-infinity' where epoch = any(?::bigint[])`,
      [dead],
    )
    this.#log.info({ epochs: dead }, 'freed what dead processes held')
  }

  async #begin(): Promise<void> {
    const { s } = this.#database
    const [row] = await this.#database.rows<{ epoch: string }>(
      'node_begin',
      `insert into ${s}.nodes (process, lease_until) values (?::jsonb, clock_timestamp() + interval '${LEASE}')
       returning epoch`,
      [JSON.stringify(this.#self)],
    )
    this.#epoch = Number(row?.epoch)
    this.#epochs.add(this.#epoch)
  }

  /** One heartbeat. A lease that is already over stays over: then a new epoch begins. */
  async beat(): Promise<void> {
    const { s } = this.#database
    try {
      const alive = await this.#database.rows(
        'node_beat',
        `update ${s}.nodes set lease_until = clock_timestamp() + interval '${LEASE}'
         where epoch = ? and lease_until > clock_timestamp() and retired_at is null returning epoch`,
        [this.#epoch],
      )
      if (alive.length > 0) return
      this.#log.warn({ epoch: this.#epoch }, 'the lease was missed; going on as a new epoch')
      await this.renew()
    } catch (error) {
      this.#log.warn({ err: error }, 'a heartbeat failed')
    }
  }
}
