import { MemoryRegistry } from './registry.js'
import { Tables } from './tables.js'

export interface MemoryNodeOptions {
  /** How long an unfinished upload, or a finished part, lives untouched, in ms. */
  readonly expiration?: number
  /** How long after its creation a frago upload expires, in ms. Default: `expiration`. */
  readonly fragoExpiration?: number
  /** How long the claims of a node that died stay alive, in ms. */
  readonly lease?: number
}

/** What several registries share, as nodes share one Postgres. Its clock is `now`, so that tests can move time. */
export class MemoryDatabase {
  readonly #tables: Tables

  constructor(options: { now: () => number } = { now: Date.now }) {
    this.#tables = new Tables(options.now)
  }

  node(options: MemoryNodeOptions = {}): MemoryRegistry {
    const { expiration = 24 * 60 * 60 * 1000, lease = 4_000 } = options
    const { fragoExpiration = expiration } = options
    return new MemoryRegistry(this.#tables, { expiration, fragoExpiration }, lease)
  }

  /** While true, every statement of every node fails as it does when the database is away. */
  set away(away: boolean) {
    this.#tables.away = away
  }

  /** Makes an upload due, as if its time had passed. */
  makeDue(id: string): void {
    const row = this.#tables.uploads.get(id)
    if (row) row.expiresAt = this.#tables.now() - 1
  }
}
